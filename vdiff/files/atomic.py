"""Writing a file all at once: readers see the whole of it or nothing."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from vdiff.errors import VdiffError

WRITTEN: ContextVar[dict[str, str]] = ContextVar("WRITTEN")
"""Path to SHA-256 of what a command has written, for its receipt."""


def write_bytes(path: Path, content: bytes) -> None:
    """Atomic and durable; raises VdiffError when the folder is full or not writable."""
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False
        ) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):  # some file systems have no permissions
            Path(temporary).chmod(0o666 & ~_umask())
        os.replace(temporary, path)
        with suppress(OSError):  # nor can all of them flush a folder
            _flush(path.parent)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise VdiffError(f"{path} cannot be written: {error.strerror}.") from None
    WRITTEN.get({})[str(path)] = hashlib.sha256(content).hexdigest()


def check_writable(path: Path, folder: bool = False) -> None:
    """Raise VdiffError unless a file, or a folder with files in it, can be written there; the
    folders above need not be there."""
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        raise VdiffError(f"{path} is no {'folder' if folder else 'file'}; give another name.")
    above = path.absolute() if folder else path.absolute().parent
    while not above.exists() and not above.is_symlink():
        above = above.parent
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise VdiffError(f"{path} cannot be written: {above}: {error.strerror}.") from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Holds a file inside the context, by a lock beside it; raises VdiffError where another process
    holds it. Does nothing where there are no such locks."""
    made = [above for above in path.absolute().parents if not above.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.lock")
    with beside.open("w") as lock:
        try:
            import fcntl  # not on Windows

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VdiffError(
                f"Another process writes {path} now; wait for it, or give another name."
            ) from None
        except (ImportError, OSError):
            pass
        try:
            yield
        finally:
            beside.unlink(missing_ok=True)  # before it is let go: the next one makes its own
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()


def _flush(folder: Path) -> None:
    """Make the names in a folder durable."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _umask() -> int:
    """The process's umask, which only setting it can tell."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
