"""Training batches as a function of the iteration, made on the device.

Images live there as uint8; an epoch's order, the flips and the dequantisation noise are drawn
and the logit taken for a whole batch at once.
"""

import torch
from torch import Tensor

from vdiff.bits import dequantise, to_real
from vdiff.config import Run
from vdiff.data import Images, Points
from vdiff.seeds import generator


class Batches:
    """Training batches (x, log_det) as real vectors, a function of the iteration alone."""

    def __init__(self, data: Points | Images, run: Run, device: str):
        self.data, self.run, self.device = data, run, device
        self.batch_size = run.training.batch_size
        if isinstance(data, Images):
            self.images = data.train.to(device)
            self.batch_size = min(self.batch_size, len(self.images))
            self.per_epoch = len(self.images) // self.batch_size
            self._epoch, self._order = -1, None

    def __call__(self, iteration: int) -> tuple[Tensor, Tensor]:
        n, keys = self.batch_size, ("data", self.run.seed, iteration)
        if isinstance(self.data, Points):
            x = self.data.draw(n, generator(*keys)).to(self.device)
            return x, x.new_zeros(n)
        rng = generator(*keys, device=self.device)
        epoch, position = divmod(iteration, self.per_epoch)
        if epoch != self._epoch:
            order = torch.randperm(
                len(self.images), generator=generator("epoch", self.run.seed, epoch)
            )
            self._epoch, self._order = epoch, order.to(self.device)
        k = self.images[self._order[position * n : (position + 1) * n]]
        if self.run.training.flip:
            flip = torch.rand(n, 1, 1, 1, generator=rng, device=self.device) < 0.5
            k = torch.where(flip, k.flip(3), k)
        u = torch.rand(k.shape, generator=rng, device=self.device)
        return to_real(dequantise(k, u, self.data.levels), self.run.training.real)
