"""One process at a time in a folder, on every machine that shares it.

Whoever holds the lock says so in the file `holder` and touches it every BEAT seconds. A lock whose
holder has not been heard of for GONE seconds, as of a node that was lost, is taken over.
"""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from filelock import BaseFileLock, FileLock, Timeout

from vdiff.files.atomic import write_bytes

log = logging.getLogger(__name__)
BEAT, GONE = 30.0, 600.0


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the folder's lock inside the context; waits for another holder, and says for whom."""
    lock, holder = _acquired(folder), folder / "holder"
    write_bytes(holder, f"process {os.getpid()} of {platform.node()}".encode())
    done = Event()
    Thread(target=_beat, args=(holder, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        holder.unlink(missing_ok=True)
        lock.release()


def _acquired(folder: Path) -> BaseFileLock:
    said = False
    while True:
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=1 if said else 0)
            return lock
        except Timeout:
            who = _text(folder / "holder")
        if not said:
            log.info(
                "%s is training in %s; waiting for it, at most until nothing was heard of it for "
                "%g minutes.",
                who, folder, GONE / 60,
            )  # fmt: skip
            said = True
        silent = _silence(folder)
        if silent > GONE:
            log.warning("%s is gone, silent for %.0f minutes; taking over.", who, silent / 60)
            (folder / "lock").unlink(missing_ok=True)


def _silence(folder: Path) -> float:
    """Seconds since the holder was last heard of, by the clock of the disk."""
    now = folder / "now"
    write_bytes(now, b"")
    signs = [path for path in (folder / "holder", folder / "lock") if path.exists()]
    last = max((path.stat().st_mtime for path in signs), default=now.stat().st_mtime)
    return now.stat().st_mtime - last


def _beat(holder: Path, done: Event) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):
            os.utime(holder)


def _text(path: Path) -> str:
    try:
        return path.read_text().capitalize()
    except OSError:
        return "Another process"
