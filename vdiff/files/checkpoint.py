"""Training state on disk: atomic, checksummed, the last two kept.

A state is named after its iteration and the first bytes of its SHA-256, so one rename makes
content and checksum visible together. States load with `weights_only=True`.
"""

import hashlib
import io
import logging
import os
import re
import shutil
from pathlib import Path

import torch

from vdiff.files.atomic import write_bytes

log = logging.getLogger(__name__)
KEY = re.compile(r"[0-9a-f]{12}-[0-9a-f]{12}")
NAME = re.compile(r"checkpoint-(\d{8})-([0-9a-f]{16})\.pt")


def save(folder: Path, iteration: int, state: dict) -> Path:
    """Write the state of one iteration and drop all but the last two."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"checkpoint-{iteration:08d}-{digest[:16]}.pt"
    write_bytes(path, content)
    for _, old in _found(folder)[:-2]:
        old.unlink(missing_ok=True)
    return path


def copy(folder: Path, to: Path) -> None:
    """The newest state of a folder and the weights kept so far, in another; one that is further
    already is left as it is."""
    own, there = _found(folder), _found(to)
    if not own or (there and there[-1] >= own[-1]):
        return
    for path in [*sorted(folder.glob("snapshots/*")), own[-1][1]]:  # the state last
        write_bytes(to / path.relative_to(folder), path.read_bytes())


def clear(folder: Path) -> None:
    """Delete the states and weights in a folder: a run starts over there."""
    for path in [*folder.glob("checkpoint-*.pt"), *folder.glob("snapshots/*")]:
        path.unlink(missing_ok=True)


def own(folder: Path, out: Path) -> None:
    """Note in a state folder whose results it is for."""
    owner = os.path.relpath(out.resolve(), folder.resolve().parent)
    write_bytes(folder / "owner", owner.encode())


def drop_superseded(folder: Path) -> list[Path]:
    """Delete the state folders beside this one whose results this one's have replaced."""
    dropped = []
    for path in sorted(folder.parent.glob("*/owner")):
        superseded = path.parent.name != folder.name and KEY.fullmatch(path.parent.name)
        if superseded and path.read_bytes() == (folder / "owner").read_bytes():
            shutil.rmtree(path.parent, ignore_errors=True)
            dropped.append(path.parent)
    return dropped


def load_latest(folder: Path) -> dict | None:
    """The newest sound state, or None; a damaged one is skipped with a warning."""
    for _, path in reversed(_found(folder)):
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest()[:16] not in path.name:
                raise ValueError("its checksum does not match")
            return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        except Exception as error:
            log.warning("%s is damaged (%s); falling back to the one before.", path, error)
    return None


def _found(folder: Path) -> list[tuple[int, Path]]:
    matches = ((NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*.pt"))
    return sorted((int(match[1]), path) for match, path in matches if match)
