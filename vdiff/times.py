"""Distributions of time on [0, T], for training and for evaluation.

Each has `icdf` (closed form), `cdf`, `density` and `normalizer`, the integral of the
unnormalised density; times come back in float64.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vdiff.errors import VdiffError
from vdiff.sde import VPSDE


class TimeLaw:
    """Sampling by inversion, shared by every law."""

    def icdf(self, u: Tensor) -> Tensor:
        raise NotImplementedError

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent times, (n,), float64, on the generator's device."""
        u = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
        return self.icdf(u)


@dataclass(frozen=True)
class Uniform(TimeLaw):
    """debias=False: s uniform on [0, T]."""

    T: float = 1.0

    @property
    def normalizer(self) -> float:
        return self.T

    def density(self, s: Tensor) -> Tensor:
        return torch.where((s >= 0) & (s <= self.T), 1 / self.T, torch.zeros_like(s))

    def cdf(self, s: Tensor) -> Tensor:
        return (s / self.T).clamp(0, 1)

    def icdf(self, u: Tensor) -> Tensor:
        return u * self.T


@dataclass(frozen=True)
class Debiased(TimeLaw):
    """debias=True: q(s) proportional to g^2 / sigma^2 for s >= eps_t, to (s / eps_t)^-tail below.

    Above eps_t the law is uniform in log SNR, for g^2 / sigma^2 = d/ds log(exp(B) - 1).
    tail = 0 is the paper's law, flat below eps_t. There the ELBO integrand has second moment
    of order 1/s, so an importance weight 1/q of finite variance needs 0 < tail < 1.
    """

    sde: VPSDE
    eps_t: float = 1e-3
    tail: float = 0.0

    def __post_init__(self):
        if not 0 < self.eps_t < self.sde.T:
            raise VdiffError(f"eps_t is {self.eps_t}; it must lie in (0, T) = (0, {self.sde.T}).")
        if not 0 <= self.tail < 1:
            raise VdiffError(f"tail is {self.tail}; it must lie in [0, 1).")

    def _at(self, s: float) -> Tensor:
        return torch.tensor(s, dtype=torch.float64)

    @cached_property
    def _height(self) -> Tensor:
        """g^2 / sigma^2 at eps_t."""
        s = self._at(self.eps_t)
        return self.sde.beta(s) / self.sde.var(s)

    @cached_property
    def _mass_below(self) -> Tensor:
        return self.eps_t * self._height / (1 - self.tail)

    @cached_property
    def normalizer(self) -> float:
        L = self.sde.log_expm1_B
        above = L(self._at(self.sde.T)) - L(self._at(self.eps_t))
        return float(self._mass_below + above)

    def unnormalized(self, s: Tensor) -> Tensor:
        held = s.clamp(min=self.eps_t)
        below = (s / self.eps_t).clamp(max=1) ** -self.tail
        return self.sde.beta(held) / self.sde.var(held) * below

    def density(self, s: Tensor) -> Tensor:
        inside = (s >= 0) & (s <= self.sde.T)
        return torch.where(inside, self.unnormalized(s) / self.normalizer, torch.zeros_like(s))

    def cdf(self, s: Tensor) -> Tensor:
        s = s.clamp(0, self.sde.T)
        held = s.clamp(min=self.eps_t)
        below = self._mass_below * (s / self.eps_t).clamp(max=1) ** (1 - self.tail)
        L = self.sde.log_expm1_B
        above = L(held) - L(self._at(self.eps_t))
        return (below + above) / self.normalizer

    def icdf(self, u: Tensor) -> Tensor:
        mass = u * self.normalizer
        share = (mass / self._mass_below).clamp(0, 1)
        below = self.eps_t * share ** (1 / (1 - self.tail))
        logit = (mass - self._mass_below).clamp(min=0) + self.sde.log_expm1_B(self._at(self.eps_t))
        s = torch.where(share < 1, below, self.sde.invert_log_expm1_B(logit))
        return s.clamp(0, self.sde.T)


@dataclass(frozen=True)
class Histogram(TimeLaw):
    """A base law reweighted by a histogram over its cdf: the fitted proposal.

    weights: (K,) positive, density relative to the base in K equal slices of base probability.
    """

    base: TimeLaw
    weights: tuple[float, ...]

    def _mass(self) -> tuple[Tensor, Tensor]:
        w = torch.tensor(self.weights, dtype=torch.float64)
        w = w / w.sum()
        return w, torch.cat([torch.zeros(1, dtype=torch.float64), w.cumsum(0)])

    @property
    def normalizer(self) -> float:
        return float(sum(self.weights)) / len(self.weights)

    def density(self, s: Tensor) -> Tensor:
        w, _ = self._mass()
        k = (self.base.cdf(s) * len(w)).long().clamp(0, len(w) - 1)
        return self.base.density(s) * w[k] * len(w)

    def cdf(self, s: Tensor) -> Tensor:
        w, edges = self._mass()
        v = self.base.cdf(s) * len(w)
        k = v.long().clamp(0, len(w) - 1)
        return edges[k] + w[k] * (v - k)

    def icdf(self, u: Tensor) -> Tensor:
        w, edges = self._mass()
        k = (torch.searchsorted(edges, u.contiguous(), right=True) - 1).clamp(0, len(w) - 1)
        v = (k + ((u - edges[k]) / w[k]).clamp(0, 1)) / len(w)
        return self.base.icdf(v)


def stratified(n: int, generator: torch.Generator) -> Tensor:
    """n uniforms, one in each of n equal strata, in random order: (n,), float64.

    Each single entry is uniform on [0, 1), so any mean over them stays unbiased.
    """
    device = generator.device
    u = torch.rand(n, generator=generator, dtype=torch.float64, device=device)
    return ((torch.arange(n, device=device) + u) / n)[torch.randperm(n, generator=generator)]
