"""Points in the plane: a distribution with fresh draws for every batch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.errors import VdiffError
from vdiff.likelihood.space import Space
from vdiff.machine.seeds import generator


@dataclass(frozen=True)
class Points:
    """sample(n, generator) gives (n, d) float32; see `data.Data` for the methods."""

    sample: Callable[[int, torch.Generator], Tensor]
    shape: tuple[int, ...] = (2,)
    levels: int = 1
    test_size: int = 10_000

    @property
    def space(self) -> Space:
        return Space(self.shape, None)

    def checksum(self) -> None:
        return None

    def level_counts(self) -> Tensor:
        raise VdiffError("network.parameterisation is levels, but points have no grey levels.")

    def train_examples(self) -> Tensor:
        raise VdiffError("points are drawn afresh; they have no training examples.")

    def labels(self) -> None:
        return None

    def test_examples(self, n: int | None) -> Tensor:
        return self.sample(self.test_size, generator("test points"))[:n]

    def vectors(self, x: Tensor, index: range, k: int) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(len(x))

    def pick(self, n: int, rng: torch.Generator) -> Tensor:
        return self.sample(n, rng).float()

    def batch(self, batch_size: int) -> int:
        return batch_size

    def batches(
        self, seed: int, batch_size: int, flip: bool, device: str
    ) -> Callable[[int], tuple[Tensor, Tensor]]:
        def batch(iteration: int) -> tuple[Tensor, Tensor]:
            x = self.sample(batch_size, generator("data", seed, iteration)).to(device)
            return x, x.new_zeros(len(x))

        return batch
