"""The data sets: one protocol, and a registry with a reader for each.

`load` returns points in the plane (fresh draws of a distribution) or images (uint8 arrays with a
number of grey levels). Nothing is downloaded unless a torchvision set is missing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from vdiff.data import readers
from vdiff.errors import VdiffError
from vdiff.files.located import file_of
from vdiff.likelihood.space import Space

Batches = Callable[[int], tuple[Tensor, Tensor]]
"""(x, log_det) of a training batch: a function of the iteration alone."""


class Data(Protocol):
    """A training and a test set as real vectors y with densities in their own units."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example: (2,) in the plane, (C, H, W) for images."""

    @property
    def levels(self) -> int:
        """The number of grey levels; 1 for data that are real vectors by themselves."""

    @property
    def space(self) -> Space:
        """How examples become vectors."""

    @property
    def test_size(self) -> int:
        """How many test examples there are."""

    def checksum(self) -> str | None:
        """SHA-256 of the content; None for data that are drawn afresh."""

    def level_counts(self) -> Tensor:
        """(levels,) int64: how often each grey level is in the training set; for images alone."""

    def train_examples(self) -> Tensor:
        """All training images as stored; for images alone."""

    def test_examples(self, n: int | None) -> Tensor:
        """n test examples as stored, all of them for None or where there are fewer: the first, of a
        user's own images evenly spread ones."""

    def labels(self) -> tuple[Tensor, Tensor] | None:
        """The classes of the training and test images, (N,) int64; None where there are none."""

    def vectors(self, x: Tensor, index: range, k: int) -> tuple[Tensor, Tensor]:
        """(y, log_det) of test examples x with the noise of pass k; log_det (B,) in nats."""

    def pick(self, n: int, rng: torch.Generator) -> Tensor:
        """At most n training examples as stored, each of the images once."""

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """n training examples as real vectors, with replacement."""

    def batch(self, batch_size: int) -> int:
        """How many examples a training batch of that size really has: at most all there are."""

    def batches(self, seed: int, batch_size: int, flip: bool, device: str) -> Batches:
        """The training batches of a seed, made on the device."""


def load(name: str, root: Path = Path("data"), real: bool = True) -> Data:
    """The set of that name; real: images go to R^d by the logit, otherwise to [-1, 1].

    Raises VdiffError for an unknown name or unreadable files.
    """
    if name.startswith("npz:"):
        return readers.npz(file_of(name, root), real)
    if name not in readers.REGISTRY:
        known = ", ".join([*readers.REGISTRY, "npz:PATH"])
        raise VdiffError(f"The dataset is {name!r}; it must be one of {known}.")
    return readers.REGISTRY[name](root, real)
