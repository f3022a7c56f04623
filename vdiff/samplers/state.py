"""What the integrators share: the float64 state, its checks, and who may run."""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.errors import VdiffError
from vdiff.reverse import Drift, Reverse

Noise = Callable[[Tensor], Tensor]
Callback = Callable[[int, Tensor], None]


def in_float64(a: Drift) -> Drift:
    """The float32 drift a as seen from a float64 integrator."""
    return lambda x, s: a(x.float(), s.float()).double()


def at(times: Tensor, i: int, x: Tensor) -> Tensor:
    """times[i] for every example of x, (B,)."""
    return times[i].expand(len(x)).to(x.device)


def report(i: int, x: Tensor, callback: Callback | None) -> None:
    """Check the state after step i and show it."""
    if not torch.isfinite(x).all():
        raise VdiffError(f"The state is not finite after step {i}; take more steps.")
    if callback:
        callback(i, x)


def check_ode(reverse: Reverse, name: str) -> None:
    if reverse.lmbd != 1:
        raise VdiffError(f"lmbd is {reverse.lmbd}; the sampler {name} needs lmbd 1, the ODE.")
