"""Mixtures of Gaussians: data whose drift a = g * score is known in closed form.

Y_s of x ~ sum_k w_k N(mu_k, v I) is again a mixture, of N(m mu_k, (m^2 v + sigma^2) I), equal w_k.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE


@dataclass(frozen=True)
class Mixture:
    """means (K, d) float64, one variance; equal weights."""

    sde: SDE
    means: Tensor
    variance: float

    @classmethod
    def spiral(cls, sde: SDE, components: int = 48) -> "Mixture":
        """Along the Swissroll: angle t in [1.5, 4.5] pi, radius t / 5, noise 0.1 on each axis."""
        t = math.pi * torch.linspace(1.5, 4.5, components, dtype=torch.float64)
        return cls(sde, torch.stack([t * t.cos(), t * t.sin()], 1) / 5, 0.01)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, d) float64."""
        K, d = self.means.shape
        k = torch.randint(K, (n,), generator=generator)
        noise = torch.randn(n, d, generator=generator, dtype=torch.float64)
        return self.means[k] + math.sqrt(self.variance) * noise

    def log_prob(self, y: Tensor, s: Tensor) -> Tensor:
        """Log density of Y_s in nats, y (B, d), s (B,), to (B,)."""
        square, v = self._distances(y.double(), s.double())
        d = y.shape[1]
        each = -square / (2 * v) - d / 2 * torch.log(2 * math.pi * v)
        return torch.logsumexp(each, 1) - math.log(len(self.means))

    def a(self, y: Tensor, s: Tensor) -> Tensor:
        """The exact drift g * score of Y_s, y (B, d), s (B,), to (B, d)."""
        y64, s64 = y.double(), s.double()
        _, centre, v = self._given(y64, s64)
        mean = self.sde.m(s64)[:, None] * centre
        return (self.sde.g(s64)[:, None] * (mean - y64) / v).to(y.dtype)

    def div_a(self, y: Tensor, s: Tensor) -> Tensor:
        """The divergence of the exact drift, (B,): g (m^2 E||mu_k - E mu_k||^2 / v - d) / v, the
        mean over the components given y."""
        weight, centre, v = self._given(y.double(), s.double())
        spread = (weight * self._squares(centre, torch.ones_like(v))).sum(1)
        m2, d = self.sde.m(s.double()).square(), y.shape[1]
        return self.sde.g(s.double()) * (m2 * spread / v[:, 0] - d) / v[:, 0]

    def _given(self, y: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the components given y: their weights (B, K), mean of the mu_k (B, d); and the
        variance of each at s, (B, 1)."""
        square, v = self._distances(y, s)
        weight = torch.softmax(-square / (2 * v), 1)
        return weight, weight @ self.means, v

    def _distances(self, y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distances to the means of Y_s, (B, K), and its variance, (B, 1)."""
        m = self.sde.m(s)[:, None]
        v = m.square() * self.variance + self.sde.var(s)[:, None]
        return self._squares(y, m), v

    def _squares(self, y: Tensor, m: Tensor) -> Tensor:
        """||y - m mu_k||^2, (B, K), of y (B, d) and m (B, 1): a coordinate at a time, for sums
        over a short last axis are slow."""
        pairs = zip(y.split(1, 1), self.means.unbind(1), strict=True)
        return sum(((y_i - m * mu).square() for y_i, mu in pairs), torch.zeros_like(m))
