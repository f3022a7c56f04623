"""The exponential integrator of order 1: DDIM at lmbd = 1, ancestral sampling at lmbd = 0."""

import torch
from torch import Tensor

from vdiff.diffusion.denoise import Step, xhat
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.stepping import Callback, Noise, Watch, time_at


@torch.no_grad()
def exponential(
    reverse: Reverse, x: Tensor, times: Tensor, noise: Noise, callback: Callback | None = None
) -> Tensor:
    """Exact if xhat is constant; stable at any step and lmbd; one network evaluation a step."""
    x, watch = x.double(), Watch(callback)
    for i in range(len(times) - 1):
        step = Step.between(reverse, times[i], times[i + 1])
        x = step.move(x, xhat(reverse, x, time_at(times, i, x)), noise(x) if step.sd > 0 else None)
        watch.see(i + 1, x)
    watch.check()
    return x
