"""Images: grey levels as uint8, which dequantisation noise makes real vectors.

They live on the training device as uint8; an epoch's order, the flips and the noise are drawn and
the logit taken for a whole batch at once.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.likelihood.space import Space
from vdiff.machine.seeds import generator, uniform_per_example


@dataclass(frozen=True)
class Images:
    """train, test: (N, C, H, W) uint8 with grey levels 0..levels-1; see `data.Data`.

    train_labels, test_labels: (N,) int64, the classes of the images where the set has them; no
    density depends on them. spread: whether some of the test images are taken evenly spread, for
    they may be in an order, such as that of their classes; else the first are.
    """

    train: Tensor
    test: Tensor
    levels: int = 256
    real: bool = True
    train_labels: Tensor | None = None
    test_labels: Tensor | None = None
    spread: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.train.shape[1:])

    @property
    def space(self) -> Space:
        return Space(self.shape, self.levels, logit=self.real)

    @property
    def test_size(self) -> int:
        return len(self.test)

    def checksum(self) -> str:
        """SHA-256 of the grey levels, train then test."""
        digest = hashlib.sha256()
        for x in (self.train, self.test):
            digest.update(x.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def level_counts(self) -> Tensor:
        # bincount makes int64 of its input: in parts, to bound memory.
        parts = (torch.bincount(x.flatten(), minlength=self.levels) for x in self.train.split(4096))
        return torch.stack(list(parts)).sum(0)

    def train_examples(self) -> Tensor:
        return self.train

    def labels(self) -> tuple[Tensor, Tensor] | None:
        if self.train_labels is None or self.test_labels is None:
            return None
        return self.train_labels, self.test_labels

    def test_examples(self, n: int | None) -> Tensor:
        if n is None or n >= len(self.test) or not self.spread:
            return self.test[:n]
        return self.test[evenly(n, len(self.test))]

    def vectors(self, x: Tensor, index: range, k: int) -> tuple[Tensor, Tensor]:
        u = uniform_per_example(index, x.shape[1:], "dequantise", k).to(x.device)
        return self.space.vectors(x, u)

    def pick(self, n: int, rng: torch.Generator) -> Tensor:
        return self.train[torch.randperm(len(self.train), generator=rng)[:n]]

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        x = self.train[torch.randint(len(self.train), (n,), generator=rng)]
        u = torch.rand(x.shape, generator=rng)
        return self.space.vectors(x, u)[0]

    def batch(self, batch_size: int) -> int:
        return min(batch_size, len(self.train))

    def batches(
        self, seed: int, batch_size: int, flip: bool, device: str
    ) -> Callable[[int], tuple[Tensor, Tensor]]:
        return _Epochs(self, seed, self.batch(batch_size), flip, device)


def evenly(n: int, size: int) -> Tensor:
    """n of the indices below size, evenly spread."""
    return torch.arange(n) * size // n


class _Epochs:
    """Batches without replacement within an epoch; what is left of it after them is passed over."""

    def __init__(self, data: Images, seed: int, batch_size: int, flip: bool, device: str) -> None:
        self.space = data.space
        self.seed, self.batch_size, self.flip, self.device = seed, batch_size, flip, device
        self.images = data.train.to(device)
        self.per_epoch = len(self.images) // batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __call__(self, iteration: int) -> tuple[Tensor, Tensor]:
        n = self.batch_size
        rng = generator("data", self.seed, iteration, device=self.device)
        epoch, position = divmod(iteration, self.per_epoch)
        if epoch != self._epoch:
            order = torch.randperm(len(self.images), generator=generator("epoch", self.seed, epoch))
            self._epoch, self._order = epoch, order.to(self.device)
        k = self.images[self._order[position * n : (position + 1) * n]]
        if self.flip:
            flip = torch.rand(n, 1, 1, 1, generator=rng, device=self.device) < 0.5
            k = torch.where(flip, k.flip(3), k)
        u = torch.rand(k.shape, generator=rng, device=self.device)
        return self.space.vectors(k, u)
