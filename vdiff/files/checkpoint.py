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

from vdiff.errors import VdiffError
from vdiff.files.atomic import write_bytes

log = logging.getLogger(__name__)
KEY = re.compile(r"[0-9a-f]{12}-[0-9a-f]{12}")
NAME = re.compile(r"checkpoint-(\d{8})-([0-9a-f]{16})\.pt")


def save(folder: Path, iteration: int, state: dict) -> Path:
    """Write the state of one iteration and drop all but the last two."""
    content = dump(state)
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"checkpoint-{iteration:08d}-{digest[:16]}.pt"
    write_bytes(path, content)
    for _, old in _found(folder)[:-2]:
        old.unlink(missing_ok=True)
    return path


def clear(folder: Path) -> None:
    """Delete the states and weights in a folder: a run starts over there."""
    for path in [*folder.glob("checkpoint-*.pt"), *folder.glob("snapshots/*.pt")]:
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


def dump(state: dict) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def load_weights(path: Path, sha256: str | None = None) -> dict:
    """The state_dict of a snapshot; raises VdiffError if absent, damaged or pickled code."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise VdiffError(f"{path} cannot be read: {error.strerror}.") from None
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise VdiffError(f"{path} does not match its checksum; train this run again.")
    try:
        weights = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception:
        weights = None
    sound = isinstance(weights, dict) and all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in weights.items()
    )
    if not sound:
        raise VdiffError(f"{path} is no state_dict file; pickled modules are refused, for safety.")
    return weights


def _found(folder: Path) -> list[tuple[int, Path]]:
    matches = ((NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*.pt"))
    return sorted((int(match[1]), path) for match, path in matches if match)
