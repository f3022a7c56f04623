"""What the integrators share: sources of noise, the check of a state, and who may run."""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.diffusion.reverse import Reverse
from vdiff.errors import VdiffError

Noise = Callable[[Tensor], Tensor]
Callback = Callable[[int, Tensor], None]


def noise_of(rng: torch.Generator) -> Noise:
    """One stream for the whole batch."""
    return lambda x: torch.randn(x.shape, generator=rng, device=rng.device).to(x)


def at(times: Tensor, i: int, x: Tensor) -> Tensor:
    """times[i] for every example of x, (B,)."""
    return times[i].expand(len(x)).to(x.device)


def report(i: int, x: Tensor, callback: Callback | None) -> None:
    """Check the state after step i and show it."""
    if not torch.isfinite(x).all():
        raise VdiffError(f"The state is not finite after step {i}; take more steps.")
    if callback is not None:
        callback(i, x)


def check_ode(reverse: Reverse, name: str) -> None:
    """Raise VdiffError unless lmbd = 1."""
    if reverse.lmbd != 1:
        raise VdiffError(f"lmbd is {reverse.lmbd}; the sampler {name} needs lmbd 1, the ODE.")
