"""vdiff commands in processes of their own: on Linux forks of one that has imported torch."""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Of the process that all workers of pytest-xdist are started by, so that they share servers.
OWNER = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
SOCKETS = Path(tempfile.gettempdir()) / f"vdiff-tests-{OWNER}"
# A server is that of one environment. These differ with each test and worker, and with what was
# imported before it.
CHANGING = ["PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "COLUMNS", "LINES"]
CHANGING += ["KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"]


# What Snakemake sets for its jobs.
THREADS = ("OMP_NUM", "GOTO_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM", "VECLIB_MAXIMUM")
TEMPORARY = ("TMPDIR", "TMP", "TEMP", "TEMPDIR")
PYTHON = str(Path(sys.executable).with_name("python"))


def prepare_environment() -> None:
    """Of processes that tests start: that of Snakemake's jobs, so that both share a server."""
    for name in THREADS:
        os.environ.setdefault(f"{name}_THREADS", "1")
    for name in TEMPORARY:
        os.environ.setdefault(name, tempfile.gettempdir())
    first, path = str(Path(PYTHON).parent), os.environ["PATH"]
    if path.split(os.pathsep)[0] != first:
        os.environ["PATH"] = os.pathsep.join([first, path])


def forked(program: Path, *words: object) -> list[str]:
    """The command line of a program that is a fork server, too; it ends with the tests."""
    python: list[object] = [PYTHON, "-P"]
    if sys.platform == "linux":
        client = ROOT / "vdiff" / "machine" / "forked.py"
        without = (word for name in CHANGING for word in ("-u", name))
        python = ["env", *without, PYTHON, "-I", "-S", client, SOCKETS, OWNER]
    return [str(word) for word in (*python, program, *words)]


def vdiff(*words: object) -> list[str]:
    """The command line of `vdiff WORDS`, with the paths that a job of the pipeline has."""
    command = forked(ROOT / "vdiff" / "__main__.py", *words)
    return ["env", f"PYTHONPATH={ROOT}", "PYTHONSAFEPATH=1", *command]
