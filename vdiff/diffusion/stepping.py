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


def time_at(times: Tensor, i: int, x: Tensor) -> Tensor:
    """times[i] for every example of x, (B,)."""
    return times[i].expand(len(x)).to(x.device)


class Watch:
    """Shows the states to a callback, and knows after which step one was not finite.

    To read that a host must wait for its device, which on GPUs happens once, at the end.
    """

    def __init__(self, callback: Callback | None) -> None:
        self.callback = callback
        self.first = torch.zeros((), dtype=torch.int64)

    def see(self, i: int, x: Tensor) -> None:
        """The state after step i."""
        first = self.first.to(x.device)
        self.first = torch.where((first == 0) & ~torch.isfinite(x).all(), i, first)
        if x.device.type == "cpu":
            self.check()
        if self.callback is not None:
            self.callback(i, x)

    def check(self) -> None:
        """Raise VdiffError if a state was not finite."""
        if i := int(self.first):
            raise VdiffError(f"The state is not finite after step {i}; take more steps.")


def check_ode(reverse: Reverse, name: str) -> None:
    """Raise VdiffError unless lmbd = 1."""
    if reverse.lmbd != 1:
        raise VdiffError(f"lmbd is {reverse.lmbd}; the sampler {name} needs lmbd 1, the ODE.")
