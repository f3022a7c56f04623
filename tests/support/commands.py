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


def forked(program: Path, *words: object) -> list[str]:
    """The command line of a program that is a fork server, too; it ends with the tests."""
    python: list[object] = [sys.executable, "-P"]
    if sys.platform == "linux":
        client = ROOT / "vdiff" / "machine" / "forked.py"
        without = (word for name in CHANGING for word in ("-u", name))
        python = ["env", *without, sys.executable, "-I", "-S", client, SOCKETS, OWNER]
    return [str(word) for word in (*python, program, *words)]


def vdiff(*words: object) -> list[str]:
    """The command line of `vdiff WORDS`."""
    return forked(ROOT / "vdiff" / "__main__.py", *words)
