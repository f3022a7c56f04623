"""Grids of forward times from T down to 0, (steps + 1,), float64."""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.errors import VdiffError

S_MIN = 1e-4
"""The last time before 0 of the log-SNR grid, in units of T."""


def uniform(sde: SDE, steps: int) -> Tensor:
    return torch.linspace(sde.T, 0, steps + 1, dtype=torch.float64)


def quadratic(sde: SDE, steps: int) -> Tensor:
    """Dense near 0: s = T (1 - i / steps)^2."""
    return sde.T * torch.linspace(1, 0, steps + 1, dtype=torch.float64).square()


def log_snr(sde: SDE, steps: int) -> Tensor:
    """Even steps of log SNR from T to S_MIN T, then one to 0."""
    ends = torch.tensor([sde.T, S_MIN * sde.T], dtype=torch.float64)
    if steps == 1:
        return torch.tensor([sde.T, 0], dtype=torch.float64)
    a, b = sde.log_nsr(ends)
    even = torch.linspace(float(a), float(b), steps, dtype=torch.float64)
    inner = sde.invert_log_nsr(even)
    inner[0], inner[-1] = ends
    return torch.cat([inner, torch.zeros(1, dtype=torch.float64)])


GRIDS: dict[str, Callable[[SDE, int], Tensor]] = {
    "uniform": uniform,
    "quadratic": quadratic,
    "log_snr": log_snr,
}


def grid_of(name: str, sde: SDE, steps: int) -> Tensor:
    """Raises VdiffError for an unknown grid or fewer than one step."""
    if name not in GRIDS:
        raise VdiffError(f"The grid is {name!r}; it must be one of {', '.join(GRIDS)}.")
    if steps < 1:
        raise VdiffError(f"steps is {steps}; it must be at least 1.")
    return GRIDS[name](sde, steps)
