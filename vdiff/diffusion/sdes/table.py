"""DDPM's tables of noise levels as one SDE: log NSR is a line from each step to the next.

Step i = 1..N of a table has m^2 = abar_i, sigma^2 = 1 - abar_i, at the time s = i / N. Between
steps log NSR is linear in s; below the first sigma^2 / m^2 is in proportion to s. The log NSR gamma
decides the rest, for m^2 + sigma^2 = 1: log m = -softplus(gamma) / 2, g^2 = gamma' sigma^2,
rate = -g^2 / 2.

What a table holds cannot always be told from its numbers: roots of abar are the abar of betas half
as large. `table_of` takes it by its name.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.errors import VdiffError, first_line

NO_SIGNAL = 2**-24
"""What diffusers writes for a last abar of 0 (rescale_betas_zero_snr of its Euler, DPM++ and UniPC
schedulers), so that its sigma is finite; the entry before may be below it."""
HIGH = 0.9  # a geometric mean of abar above which a table is rather one of alphas


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


def sigmoid(
    N: int = 1000, start: float = -3.0, end: float = 3.0, tau: float = 1.0, most: float = 0.999
) -> tuple[float, ...]:
    """abar along a sigmoid from start to end at temperature tau, betas at most `most` (Jabri et
    al., arXiv 2212.11972), as denoising-diffusion-pytorch has it by default."""
    t = torch.linspace(0, 1, N + 1, dtype=torch.float64)
    f = torch.sigmoid(torch.tensor(end / tau, dtype=torch.float64))
    f = f - torch.sigmoid((t * (end - start) + start) / tau)
    return _abar((1 - f[1:] / f[:-1]).clamp(0, most))


def zero_terminal_snr(abar: Sequence[float]) -> tuple[float, ...]:
    """The table with its last step pure noise (Lin et al., arXiv 2305.08891)."""
    root = torch.tensor(abar, dtype=torch.float64).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    return tuple(((root - last) * first / (first - last)).square().tolist())


def _abar(betas: Tensor) -> tuple[float, ...]:
    return tuple(torch.cumprod(1 - betas, 0).tolist())


def table_of(**table: Any) -> "TableSDE":
    """The SDE of one table (N,), given by its name: betas, alphas (1 - betas), alphas_cumprod
    (their products, abar) or sqrt_alphas_cumprod. Raises VdiffError for other names and for tables
    whose abar does not descend between 1 and 0.

    >>> table_of(betas=[0.1, 0.2, 0.5]).abar[0]
    0.9
    """
    if len(table) != 1 or not table.keys() <= NAMES.keys():
        raise VdiffError(
            f"A table is given as {', '.join(table) or 'nothing'}; it must be one of "
            f"{', '.join(NAMES)}."
        )
    ((name, given),) = table.items()
    return TableSDE(tuple(NAMES[name](_numbers(given)).tolist()), named=True)


NAMES: dict[str, Callable[[Tensor], Tensor]] = {
    "betas": lambda v: torch.cumprod(1 - v, 0),
    "alphas": lambda v: torch.cumprod(v, 0),
    "alphas_cumprod": lambda v: v,
    "sqrt_alphas_cumprod": lambda v: v.square(),
}
"""What tables hold, to abar."""


def _numbers(table: Any) -> Tensor:
    """A list, tuple, array or tensor (N,), as float64."""
    try:
        numbers = torch.as_tensor(table, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise VdiffError(
            f"A table of noise levels holds no numbers: {first_line(error)}."
        ) from None
    if numbers.ndim != 1:
        raise VdiffError(
            f"A table of noise levels has shape {tuple(numbers.shape)}; it must be (N,), one "
            "number for each step."
        )
    return numbers


@dataclass(frozen=True)
class TableSDE(SDE):
    """abar: the N steps' products of alphas (diffusers' alphas_cumprod), descending in (0, 1), as a
    list, tuple, array or tensor; a last one of 0 or 2^-24 is left out, and T with it, for its log
    NSR has no bound. named: that it is abar is known, so that it is not refused for looking like
    another table. Raises VdiffError for other tables, and for those that look like betas or alphas;
    roots of abar look like abar, so give them to `table_of`."""

    abar: Sequence[float] = field(default_factory=linear, repr=False)
    named: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        abar = _numbers(self.abar)
        if len(abar) and abar[-1] == NO_SIGNAL:
            abar = torch.cat([abar[:-1], torch.zeros(1, dtype=torch.float64)])
        if not self.named:
            _check_looks(abar)
        rises = (abar.diff() >= 0).nonzero().flatten().tolist()
        if rises:
            k = rises[0]
            raise VdiffError(
                f"A table of noise levels goes from {abar[k]:.6g} to {abar[k + 1]:.6g} at step "
                f"{k + 1}, counted from 0; abar must descend (table_of takes {', '.join(NAMES)} by "
                "name)."
            )
        if len(abar) < 3 or not 0 < abar[0] < 1 or not abar[-1] >= 0:
            first, last = ([f"{v:.6g}" for v in abar[k : k + 1]] for k in (0, len(abar) - 1))
            raise VdiffError(
                f"A table of noise levels has {len(abar)} steps from {''.join(first) or 'none'} to "
                f"{''.join(last) or 'none'}; it must have at least 3, abar descending between 1 "
                "and 0."
            )
        object.__setattr__(self, "abar", tuple(abar.tolist()))

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

    @cached_property
    def _slopes(self) -> Tensor:
        """From each of those steps to the next, (n - 1,)."""
        return self._gamma.diff()

    def _segment(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(times in steps, their log NSR, its slope in steps) of times above the first step."""
        gamma, slopes = self._gamma.to(s.device), self._slopes.to(s.device)
        steps = s.double() * self.N
        k = (steps - 1).floor().long().clamp(0, len(slopes) - 1)
        slope = slopes[k]
        return steps, gamma[k] + slope * (steps - 1 - k), slope

    def log_nsr(self, s: Tensor) -> Tensor:
        steps, above, _ = self._segment(s)
        below = self._gamma[0].to(s.device) + steps.clamp(max=1).log()
        return torch.where(steps < 1, below, above).to(s.dtype)

    def weight(self, s: Tensor) -> Tensor:
        """d log NSR / ds."""
        steps, _, slope = self._segment(s)
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
        """weight times var above the first step; below it from the slope, so that at s = 0, where
        log NSR has none, it is the limit."""
        steps, log_nsr, slope = self._segment(s)
        above = (slope * self.N).to(s.dtype) * torch.sigmoid(log_nsr.to(s.dtype))
        nsr = self._gamma[0].exp().to(s.device) * self.N  # d NSR / ds below the first step
        below = (nsr / (1 + nsr * s.double())).to(s.dtype)
        return torch.where(steps < 1, below, above)

    def rate(self, s: Tensor) -> Tensor:
        return -self.g2(s) / 2


def _check_looks(table: Tensor) -> None:
    """Raise VdiffError for what is betas or alphas rather than their products. The logarithms of N
    alphas sum up to log abar_N, which is some -5 to -20, so that of a hundred steps or more alphas
    are near 1 and betas near 0 in the geometric mean; abar takes all values in between."""
    inside = table[(table > 0) & (table < 1)]
    if len(inside) < len(table) - 1 or len(inside) < 3:  # a last one may be 0, or a beta of 1
        return
    falls, rises = bool((table.diff() <= 0).all()), bool((table.diff() >= 0).all())
    named = None
    if falls and float(inside.log().mean().exp()) > HIGH:
        named = "alphas"
    elif (rises or table[0] < 0.5) and float((-inside).log1p().mean().exp()) > HIGH:
        named = "betas"
    if named:
        raise VdiffError(
            f"A table of noise levels from {table[0]:.6g} to {table[-1]:.6g} looks like {named}, "
            f"not like their products: give table_of({named}=...), or table_of(alphas_cumprod=...) "
            "if they are the products, of vdiff.diffusion.sdes.table."
        )


Schedule = TableSDE
