"""DDPM's tables of noise levels as one SDE: log NSR is a line from each step to the next.

Step i = 1..N of a table has m^2 = abar_i, sigma^2 = 1 - abar_i, at the time s = i / N. Between
steps log NSR is linear in s; below the first sigma^2 / m^2 is in proportion to s. The log NSR gamma
decides the rest, for m^2 + sigma^2 = 1: log m = -softplus(gamma) / 2, g^2 = gamma' sigma^2,
rate = -g^2 / 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.errors import VdiffError


def linear(N: int = 1000, first: float = 1e-4, last: float = 0.02) -> tuple[float, ...]:
    """abar of betas on a line (Ho et al., arXiv 2006.11239)."""
    return _abar(torch.linspace(first, last, N, dtype=torch.float64))


def scaled_linear(N: int = 1000, first: float = 0.00085, last: float = 0.012) -> tuple[float, ...]:
    """abar of betas whose roots are on a line (Rombach et al., arXiv 2112.10752)."""
    return _abar(torch.linspace(first**0.5, last**0.5, N, dtype=torch.float64).square())


def cosine(N: int = 1000, offset: float = 0.008, most: float = 0.999) -> tuple[float, ...]:
    """abar of the cosine schedule, betas at most `most` (Nichol and Dhariwal, arXiv 2102.09672)."""
    t = torch.arange(N + 1, dtype=torch.float64) / N
    f = ((t + offset) / (1 + offset) * math.pi / 2).cos().square()
    return _abar((1 - f[1:] / f[:-1]).clamp(max=most))


def zero_terminal_snr(abar: Sequence[float]) -> tuple[float, ...]:
    """The table with its last step pure noise (Lin et al., arXiv 2305.08891)."""
    root = torch.tensor(abar, dtype=torch.float64).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    return tuple(((root - last) * first / (first - last)).square().tolist())


def _abar(betas: Tensor) -> tuple[float, ...]:
    return tuple(torch.cumprod(1 - betas, 0).tolist())


@dataclass(frozen=True)
class TableSDE(SDE):
    """abar: the N steps' abar_i, descending in (0, 1); a last one of 0 is left out, and T with it,
    for its log NSR has no bound. Raises VdiffError for other tables."""

    abar: Sequence[float] = field(default_factory=linear, repr=False)

    def __post_init__(self) -> None:
        abar = list(self.abar)
        falls = all(b < a for a, b in pairwise(abar))
        if len(abar) < 3 or not falls or not 0 < abar[0] < 1 or abar[-1] < 0:
            raise VdiffError(
                f"A table of noise levels has {len(abar)} steps from {abar[:1]} to {abar[-1:]}; it "
                "must have at least 3, abar descending between 1 and 0."
            )

    @property
    def N(self) -> int:
        return len(self.abar)

    @property
    def T(self) -> float:  # type: ignore[override]
        return (self.N - (self.abar[-1] == 0)) / self.N

    @cached_property
    def _gamma(self) -> Tensor:
        """Log NSR of the steps that have one, (n,)."""
        abar = torch.tensor([a for a in self.abar if a > 0], dtype=torch.float64)
        return torch.log1p(-abar) - abar.log()

    def _segment(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(step before, its log NSR, slope in steps) of times above the first step."""
        gamma = self._gamma.to(s.device)
        k = (s.double() * self.N - 1).floor().long().clamp(0, len(gamma) - 2)
        return k, gamma[k], gamma[k + 1] - gamma[k]

    def log_nsr(self, s: Tensor) -> Tensor:
        k, gamma, slope = self._segment(s)
        steps = s.double() * self.N
        above = gamma + slope * (steps - 1 - k)
        below = self._gamma[0].to(s.device) + steps.clamp(max=1).log()
        return torch.where(steps < 1, below, above).to(s.dtype)

    def weight(self, s: Tensor) -> Tensor:
        """d log NSR / ds."""
        _, _, slope = self._segment(s)
        steps = s.double() * self.N
        return torch.where(steps < 1, 1 / s.double(), slope * self.N).to(s.dtype)

    def invert_log_nsr(self, value: Tensor) -> Tensor:
        gamma = self._gamma.to(value.device)
        v = value.double()
        k = (torch.searchsorted(gamma, v.contiguous(), right=True) - 1).clamp(0, len(gamma) - 2)
        above = k + 1 + (v - gamma[k]) / (gamma[k + 1] - gamma[k])
        below = (v - gamma[0]).exp()
        return (torch.where(v < gamma[0], below, above) / self.N).to(value.dtype)

    def log_m(self, s: Tensor) -> Tensor:
        return -torch.nn.functional.softplus(self.log_nsr(s), threshold=50) / 2

    def var(self, s: Tensor) -> Tensor:
        return torch.sigmoid(self.log_nsr(s))

    def g2(self, s: Tensor) -> Tensor:
        """From the slope, so that at s = 0, where log NSR has none, it is the limit."""
        nsr = self._gamma[0].exp().to(s.device) * self.N  # d NSR / ds below the first step
        below = (nsr / (1 + nsr * s.double())).to(s.dtype)
        return torch.where(s.double() * self.N < 1, below, self.weight(s) * self.var(s))

    def rate(self, s: Tensor) -> Tensor:
        return -self.g2(s) / 2


Forward = TableSDE
