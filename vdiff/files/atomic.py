"""Writing a file all at once: readers see the whole of it or nothing."""

import hashlib
import os
import tempfile
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path

from vdiff.errors import VdiffError

WRITTEN: ContextVar[dict[str, str]] = ContextVar("WRITTEN")
"""Path to SHA-256 of what a command has written, for its record."""


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
