"""Mixtures of Gaussians: data whose drift a = g * score is known in closed form.

Y_s of x ~ sum_k w_k N(mu_k, v I) is again a mixture, of N(m mu_k, (m^2 v + sigma^2) I), equal w_k.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import sum_features

PART = 2048  # points at once


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

    @classmethod
    def ring(cls, sde: SDE, components: int = 6) -> "Mixture":
        """On a circle of radius 2, of standard deviation 1/4 on each axis."""
        t = 2 * math.pi * torch.arange(components, dtype=torch.float64) / components
        return cls(sde, 2 * torch.stack([t.cos(), t.sin()], 1), 1 / 16)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, d) float64."""
        K, d = self.means.shape
        k = torch.randint(K, (n,), generator=generator)
        noise = torch.randn(n, d, generator=generator, dtype=torch.float64)
        return self.means[k] + math.sqrt(self.variance) * noise

    def log_prob(self, y: Tensor, s: Tensor) -> Tensor:
        """Log density of Y_s in nats, y (B, d), s (B,), to (B,)."""

        def of(y: Tensor, s: Tensor) -> Tensor:
            z, v = self._logits(y, s)
            d = y.shape[1]
            rest = sum_features(y.square()) / (2 * v) + d / 2 * torch.log(2 * math.pi * v)
            return torch.logsumexp(z, 1) - rest - math.log(len(self.means))

        return in_parts(of, y.double(), s.double())

    def a(self, y: Tensor, s: Tensor) -> Tensor:
        """The exact drift g * score of Y_s, y (B, d), s (B,), to (B, d)."""

        def of(y: Tensor, s: Tensor) -> Tensor:
            z, v = self._logits(y, s)
            mean = self.sde.m(s)[:, None] * (torch.softmax(z, 1) @ self.means)
            return self.sde.g(s)[:, None] * (mean - y) / v[:, None]

        return in_parts(of, y.double(), s.double()).to(y.dtype)

    def div_a(self, y: Tensor, s: Tensor) -> Tensor:
        """The divergence of the exact drift, (B,): g (m^2 (E||mu||^2 - ||E mu||^2) / v - d) / v,
        with means over the components given y."""

        def of(y: Tensor, s: Tensor) -> Tensor:
            z, v = self._logits(y, s)
            weight = torch.softmax(z, 1)
            spread = weight @ sum_features(self.means.square())
            spread = spread - sum_features((weight @ self.means).square())
            m2, d = self.sde.m(s).square(), y.shape[1]
            return self.sde.g(s) * (m2 * spread / v - d) / v

        return in_parts(of, y.double(), s.double())

    def _logits(self, y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Log weights of the components given y, (B, K), up to a constant of each y: of
        -||y - m mu_k||^2 / 2v what depends on k, as one product of matrices; and v, the variance of
        each component at s, (B,)."""
        m = self.sde.m(s)
        v = m.square() * self.variance + self.sde.var(s)
        left = torch.cat([(m / v)[:, None] * y, (-m.square() / (2 * v))[:, None]], 1)
        right = torch.cat([self.means, sum_features(self.means.square())[:, None]], 1)
        return left @ right.T, v


def in_parts(of: Callable[[Tensor, Tensor], Tensor], y: Tensor, s: Tensor) -> Tensor:
    """of(y, s) by parts whose arrays (B, K) stay in the cache."""
    return torch.cat([of(*part) for part in zip(y.split(PART), s.split(PART), strict=True)])
