"""Distributions of time on [0, T], for training and for evaluation, in closed form.

Times, densities and probabilities are float64 tensors (B,).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE, at
from vdiff.errors import VdiffError


class TimeLaw(ABC):
    """A time distribution; sampling is by inversion."""

    @abstractmethod
    def density(self, s: Tensor) -> Tensor:
        """q(s), 0 outside [0, T]."""

    @abstractmethod
    def cdf(self, s: Tensor) -> Tensor: ...

    @abstractmethod
    def icdf(self, u: Tensor) -> Tensor:
        """The quantile function, u in [0, 1]."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent times, (n,), float64, on the generator's device."""
        u = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
        return self.icdf(u)


@dataclass(frozen=True)
class Uniform(TimeLaw):
    """debias=False: s uniform on [0, T]."""

    T: float = 1.0

    def density(self, s: Tensor) -> Tensor:
        return torch.where((s >= 0) & (s <= self.T), 1 / self.T, torch.zeros_like(s))

    def cdf(self, s: Tensor) -> Tensor:
        return (s / self.T).clamp(0, 1)

    def icdf(self, u: Tensor) -> Tensor:
        return u * self.T


@dataclass(frozen=True)
class Debiased(TimeLaw):
    """debias=True: q(s) proportional to g^2 / sigma^2 for s >= eps_t, to (s / eps_t)^-tail below.

    Above eps_t the law is uniform in log SNR, for g^2 / sigma^2 = d/ds log NSR. tail = 0 is the
    paper's law, flat below eps_t. There the ELBO integrand has second moment of order 1/s, so an
    importance weight 1/q of finite variance needs 0 < tail < 1. Below s_0 there are no times.
    """

    sde: SDE
    eps_t: float = 1e-3
    tail: float = 0.0
    s_0: float = 0.0

    @classmethod
    def to_the_end(cls, sde: SDE, eps_t: float) -> "Debiased":
        """The law whose importance weights leave the ELBO whole: what the flat one cuts off below
        eps_t, this one has, at a variance that is finite."""
        return cls(sde, eps_t, tail=0.5)

    def __post_init__(self) -> None:
        if not 0 < self.eps_t < self.sde.T:
            raise VdiffError(f"eps_t is {self.eps_t}; it must lie in (0, T) = (0, {self.sde.T}).")
        if not 0 <= self.tail < 1:
            raise VdiffError(f"tail is {self.tail}; it must lie in [0, 1).")
        if not 0 <= self.s_0 < self.sde.T:
            raise VdiffError(f"s_0 is {self.s_0}; it must lie in [0, T) = [0, {self.sde.T}).")

    @cached_property
    def _mass_below(self) -> Tensor:
        return self.eps_t * self.sde.weight(at(self.eps_t)) / (1 - self.tail)

    def _mass(self, s: Tensor) -> Tensor:
        """The integral of `unnormalized` over [0, s]."""
        below = self._mass_below * (s / self.eps_t).clamp(max=1) ** (1 - self.tail)
        above = self.sde.log_nsr(s.clamp(min=self.eps_t)) - self.sde.log_nsr(at(self.eps_t))
        return below + above

    @cached_property
    def _left_out(self) -> float:
        return float(self._mass(at(self.s_0)))

    @cached_property
    def normaliser(self) -> float:
        """The integral of `unnormalized` over [s_0, T]."""
        return float(self._mass(at(self.sde.T))) - self._left_out

    def unnormalized(self, s: Tensor) -> Tensor:
        """g^2 / sigma^2 for s >= eps_t, its value at eps_t times (s / eps_t)^-tail below."""
        below = (s / self.eps_t).clamp(max=1) ** -self.tail
        return self.sde.weight(s.clamp(min=self.eps_t)) * below

    def density(self, s: Tensor) -> Tensor:
        inside = (s >= self.s_0) & (s <= self.sde.T)
        return torch.where(inside, self.unnormalized(s) / self.normaliser, torch.zeros_like(s))

    def cdf(self, s: Tensor) -> Tensor:
        return (self._mass(s.clamp(self.s_0, self.sde.T)) - self._left_out) / self.normaliser

    def icdf(self, u: Tensor) -> Tensor:
        mass = u * self.normaliser + self._left_out
        share = (mass / self._mass_below).clamp(0, 1)
        below = self.eps_t * share ** (1 / (1 - self.tail))
        log_nsr = (mass - self._mass_below).clamp(min=0) + self.sde.log_nsr(at(self.eps_t))
        s = torch.where(share < 1, below, self.sde.invert_log_nsr(log_nsr))
        return s.clamp(self.s_0, self.sde.T)


@dataclass(frozen=True, eq=False)
class Histogram(TimeLaw):
    """A base law reweighted by a histogram over its cdf: the fitted proposal.

    weights: (K,) positive float64, density relative to the base in K equal slices of base
    probability, on the device of the times.
    """

    base: TimeLaw
    weights: Tensor

    @cached_property
    def _mass(self) -> tuple[Tensor, Tensor]:
        w = self.weights / self.weights.sum()
        return w, torch.cat([w.new_zeros(1), w.cumsum(0)])

    def density(self, s: Tensor) -> Tensor:
        w, _ = self._mass
        return self.base.density(s) * w[slice_of(self.base, s, len(w))] * len(w)

    def cdf(self, s: Tensor) -> Tensor:
        w, edges = self._mass
        k = slice_of(self.base, s, len(w))
        return edges[k] + w[k] * (self.base.cdf(s) * len(w) - k)

    def icdf(self, u: Tensor) -> Tensor:
        w, edges = self._mass
        k = (torch.searchsorted(edges, u.contiguous(), right=True) - 1).clamp(0, len(w) - 1)
        v = (k + ((u - edges[k]) / w[k]).clamp(0, 1)) / len(w)
        return self.base.icdf(v)


def floored(weights: Tensor) -> Tensor:
    """Weights of a fitted law, of mean 1, with a tenth of the base law in every slice."""
    return 0.9 * weights + 0.1


def slice_of(law: TimeLaw, s: Tensor, K: int) -> Tensor:
    """Which of K slices of equal probability each time lies in, (B,) int64.

    >>> slice_of(Uniform(), torch.tensor([0.0, 0.3, 1.0]), 4)
    tensor([0, 1, 3])
    """
    return (law.cdf(s) * K).long().clamp(0, K - 1)


def stratified(n: int, generator: torch.Generator) -> Tensor:
    """n uniforms, one in each of n equal strata, in random order: (n,), float64.

    Each single entry is uniform on [0, 1), so any mean over them stays unbiased.
    """
    device = generator.device
    u = torch.rand(n, generator=generator, dtype=torch.float64, device=device)
    order = torch.randperm(n, generator=generator, device=device)
    return ((torch.arange(n, device=device) + u) / n)[order]
