"""vdiff commands in processes of their own: on Linux forks of one that has imported torch."""

import os
import sys
import tempfile
from pathlib import Path

from support.pipeline import ROOT

SOCKETS = Path(tempfile.gettempdir()) / f"vdiff-tests-{os.getpid()}"


def vdiff(*words: object) -> list[str]:
    """The command line of `vdiff WORDS`; the forks' server ends with the tests."""
    program = ROOT / "vdiff" / "__main__.py"
    python: list[object] = [sys.executable, "-P"]
    if sys.platform == "linux":
        forked = ROOT / "vdiff" / "machine" / "forked.py"
        python = [sys.executable, "-I", "-S", forked, SOCKETS, os.getpid()]
    return [str(word) for word in (*python, program, *words)]
