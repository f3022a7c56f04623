"""Data distributions whose drift is known in closed form."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.sde import VPSDE
from vdiff.tensors import expand_like


def gaussian_drift(sde: VPSDE, variance: float):
    """The exact drift a = g * score for data N(0, variance I)."""

    def a(y: Tensor, s: Tensor) -> Tensor:
        s = s.double()
        marginal = sde.m(s).square() * variance + sde.var(s)
        return -expand_like((sde.g(s) / marginal).to(y.dtype), y) * y

    return a


@dataclass(frozen=True)
class Mixture:
    """sum_k w_k N(means_k, variance I); means (K, d)."""

    sde: VPSDE
    means: Tensor
    variance: float

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        k = torch.randint(len(self.means), (n,), generator=rng)
        noise = torch.randn(n, self.means.shape[1], generator=rng, dtype=self.means.dtype)
        return self.means[k] + math.sqrt(self.variance) * noise

    def log_prob(self, y: Tensor, s: Tensor) -> Tensor:
        """log density of Y_s, y (B, d), s (B,), in nats."""
        m = self.sde.m(s)[:, None, None]
        v = (self.sde.m(s).square() * self.variance + self.sde.var(s))[:, None]
        square = (y[:, None] - m * self.means).square().sum(2)
        d = y.shape[1]
        each = -square / (2 * v) - d / 2 * torch.log(2 * math.pi * v)
        return torch.logsumexp(each, 1) - math.log(len(self.means))

    def a(self, y: Tensor, s: Tensor) -> Tensor:
        """g * score of Y_s in closed form."""
        dtype, y, s = y.dtype, y.double(), s.double()
        m = self.sde.m(s)[:, None, None]
        v = (self.sde.m(s).square() * self.variance + self.sde.var(s))[:, None]
        gap = m * self.means - y[:, None]  # (B, K, d)
        weight = torch.softmax(-gap.square().sum(2) / (2 * v), 1)
        score = (weight[:, :, None] * gap).sum(1) / v
        return (self.sde.g(s)[:, None] * score).to(dtype)
