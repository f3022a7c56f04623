"""Weights along a training: the file of each snapshot."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from vdiff.files.atomic import write_bytes
from vdiff.files.checkpoint import dump, load_weights


@dataclass(frozen=True)
class Snapshot:
    """The weights of one iteration, for data of that shape (as in 3x32x32)."""

    iteration: int
    shape: str
    path: Path
    sha256: str

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
    return folder / "snapshots" / f"{iteration:08d}.pt"


def write_snapshot(
    folder: Path, iteration: int, weights: dict[str, Tensor], shape: tuple[int, ...]
) -> Snapshot:
    path, content = path_of(folder, iteration), dump(weights)
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
    for old in set(folder.glob("*.pt")) - {s.path for s in taken}:
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
