"""The file that scores are written to: seen to before any work, one writer at a time."""

import glob
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vdiff.errors import VdiffError, needed


def part_of(out: Path) -> Path:
    """Where the scores are kept until all are there."""
    return out.with_name(f"{out.name}.part.npz")


def check_out(out: Path, inputs: Sequence[Path]) -> None:
    """Raise VdiffError unless the CSV can be written and is none of the inputs, nor in one that is
    a folder, whatever links lead there."""
    if out.suffix != ".csv":
        raise VdiffError(f"out is {out}; it must end in .csv.")
    for path in (out, part_of(out)):
        if path.is_dir():
            raise VdiffError(f"{path} is a folder; out must be a file.")
        for given in inputs if path.exists() else ():
            for own in given.rglob("*") if given.is_dir() else [given]:
                if own.exists() and path.samefile(own):
                    raise VdiffError(f"out is {out}, which {own} is; give another file by out.")
    if not out.parent.is_dir():
        raise VdiffError(f"The folder {out.parent} of out is not there; make it first.")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise VdiffError(f"The folder {out.parent} cannot be written: {error.strerror}.") from None


@contextmanager
def alone(out: Path, wait: bool = False) -> Iterator[None]:
    """Holds the file inside the context, and takes away what a killed writer left half written.
    Waits where another process holds it, or raises VdiffError."""
    with needed():
        from filelock import FileLock, Timeout
    path = out.with_name(f".{out.name}.lock")
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise VdiffError(
            f"Another process writes {out} now; wait for it, or give another file by out."
        ) from None
    try:
        for written in (out, part_of(out)):
            for left in out.parent.glob(f".{glob.escape(written.name)}.*.tmp"):
                if "." not in left.name.removeprefix(f".{written.name}.").removesuffix(".tmp"):
                    left.unlink(missing_ok=True)
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is let go, so that the next one makes its own
        lock.release()
