"""The probability-flow ODE, lmbd = 1, by torchdiffeq's adaptive dopri5."""

import torch
from torch import Tensor

from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.solver import solve
from vdiff.diffusion.stepping import Callback, Noise, Watch, check_ode

TOLERANCE = 1e-5


@torch.no_grad()
def adaptive(
    reverse: Reverse, x: Tensor, times: Tensor, noise: Noise, callback: Callback | None = None
) -> Tensor:
    """Raises VdiffError unless lmbd = 1. The solver picks its steps; `times` are only reported."""
    check_ode(reverse, "adaptive")

    def backward(s: Tensor, x: Tensor) -> Tensor:
        # mu runs with t = T - s; a is not defined at s = 0, where the last step ends.
        return -reverse.mu(x, s.clamp(min=1e-8).expand(len(x)))

    path, _ = solve(backward, x.double(), times.to(x.device), TOLERANCE)
    watch = Watch(callback)
    for i, state in enumerate(path[1:], 1):
        watch.see(i, state)
    watch.check()
    return path[-1]
