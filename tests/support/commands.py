"""vdiff commands in processes of their own: on Linux forks of one that has imported torch."""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

SOCKETS = Path(tempfile.gettempdir()) / f"vdiff-tests-{os.getpid()}"


def forked(program: Path, *words: object) -> list[str]:
    """The command line of a program that is a fork server, too; it ends with the tests."""
    python: list[object] = [sys.executable, "-P"]
    if sys.platform == "linux":
        client = ROOT / "vdiff" / "machine" / "forked.py"
        python = [sys.executable, "-I", "-S", client, SOCKETS, os.getpid()]
    return [str(word) for word in (*python, program, *words)]


def vdiff(*words: object) -> list[str]:
    """The command line of `vdiff WORDS`."""
    return forked(ROOT / "vdiff" / "__main__.py", *words)
