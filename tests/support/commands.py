"""vdiff commands in processes of their own: on Linux forks of one that has imported torch."""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Of the process that all workers of pytest-xdist are started by, so that they share servers.
OWNER = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
SOCKETS = Path(tempfile.gettempdir()) / f"vdiff-tests-{OWNER}"
# A server is that of one environment, and these differ with each test and worker.
CHANGING = ["env", "-u", "PYTEST_CURRENT_TEST", "-u", "PYTEST_XDIST_WORKER"]


def forked(program: Path, *words: object) -> list[str]:
    """The command line of a program that is a fork server, too; it ends with the tests."""
    python: list[object] = [sys.executable, "-P"]
    if sys.platform == "linux":
        client = ROOT / "vdiff" / "machine" / "forked.py"
        python = [*CHANGING, sys.executable, "-I", "-S", client, SOCKETS, OWNER]
    return [str(word) for word in (*python, program, *words)]


def vdiff(*words: object) -> list[str]:
    """The command line of `vdiff WORDS`."""
    return forked(ROOT / "vdiff" / "__main__.py", *words)
