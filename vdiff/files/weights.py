"""Weights along a training: the safetensors file of each snapshot."""

import hashlib
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from vdiff.errors import VdiffError
from vdiff.files.atomic import write_bytes

ENDING = ".safetensors"


@dataclass(frozen=True)
class Snapshot:
    """The weights of one iteration, for data of that shape (as in 3x32x32). precision: what they
    were computed in, None where their file does not say."""

    iteration: int
    shape: str
    path: Path
    sha256: str

    @property
    def precision(self) -> str | None:
        with suppress(SafetensorError, OSError), safe_open(self.path, "pt") as file:
            return (file.metadata() or {}).get("precision")
        return None

    def weights(self) -> dict[str, Tensor]:
        """Raises VdiffError when the file is absent, damaged or another one."""
        return load_weights(self.path, self.sha256)


def shape_name(shape: tuple[int, ...]) -> str:
    """A data shape as snapshots.csv has it.

    >>> shape_name((3, 32, 32))
    '3x32x32'
    """
    return "x".join(str(n) for n in shape)


def path_of(folder: Path, iteration: int) -> Path:
    """Where a state folder keeps the weights of an iteration."""
    return folder / "snapshots" / f"{iteration:08d}{ENDING}"


def write_snapshot(
    folder: Path,
    iteration: int,
    weights: dict[str, Tensor],
    shape: tuple[int, ...],
    precision: str | None = None,
) -> Snapshot:
    """precision: that they were computed in, which their file is to say."""
    path = path_of(folder, iteration)
    said = {"precision": precision} if precision else None
    content = save({name: tensor.contiguous() for name, tensor in weights.items()}, said)
    write_bytes(path, content)
    digest = hashlib.sha256(content).hexdigest()
    return Snapshot(iteration, shape_name(shape), path, digest)


def take(snapshots: Sequence[Snapshot], folder: Path) -> list[Snapshot]:
    """The snapshots' files in a folder of their own and no others: a state is a cache, which may be
    deleted."""
    taken = []
    for s in snapshots:
        path = folder / s.path.name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != s.sha256:
            write_bytes(path, s.path.read_bytes())
        taken.append(replace(s, path=path))
    for old in set(folder.iterdir()) - {s.path for s in taken}:
        if old.suffix == ENDING:
            old.unlink()
    return taken


def read_snapshot(folder: Path, iteration: int, shape: tuple[int, ...]) -> Snapshot | None:
    """The snapshot that a state folder keeps of an iteration, or None."""
    path = path_of(folder, iteration)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
    return Snapshot(iteration, shape_name(shape), path, digest)


def load_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The state_dict in a file of safetensors or, as the authors' code writes them, of torch.

    Raises VdiffError if it is absent, damaged or pickled code.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise VdiffError(f"{path} cannot be read: {error.strerror}.") from None
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise VdiffError(f"{path} does not match its checksum; train this run again.")
    weights: Any = None
    for read in (load, _of_torch):
        if weights is None:
            with suppress(Exception):  # damaged files make the parsers raise anything
                weights = read(content)
    sound = isinstance(weights, dict) and all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in weights.items()
    )
    if not sound:
        raise VdiffError(
            f"{path} is not a state_dict file; pickled modules are refused, for safety."
        )
    return weights


def _of_torch(content: bytes) -> object:
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
