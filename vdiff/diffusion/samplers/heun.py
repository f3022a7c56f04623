"""Heun's method for the probability-flow ODE, lmbd = 1: order 2, two evaluations a step."""

import torch
from torch import Tensor

from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.stepping import Callback, Noise, Watch, check_ode, time_at


@torch.no_grad()
def heun(
    reverse: Reverse, x: Tensor, times: Tensor, noise: Noise, callback: Callback | None = None
) -> Tensor:
    """Raises VdiffError unless lmbd = 1. A last step to 0 is Euler's: a is not defined there."""
    check_ode(reverse, "heun")
    x, watch = x.double(), Watch(callback)
    for i in range(len(times) - 1):
        dt = float(times[i] - times[i + 1])
        slope = reverse.mu(x, time_at(times, i, x))
        if times[i + 1] > 0:
            slope = (slope + reverse.mu(x + dt * slope, time_at(times, i + 1, x))) / 2
        x = x + dt * slope
        watch.see(i + 1, x)
    watch.check()
    return x
