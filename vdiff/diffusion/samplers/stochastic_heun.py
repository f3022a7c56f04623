"""Stochastic Heun in log SNR: weak order 2 for every lmbd, two evaluations a step.

The predictor holds xhat; the corrector lets it go linearly to its value at the predicted end,
with the same noise. For additive noise Heun's method has weak order 2.
"""

import torch
from torch import Tensor

from vdiff.diffusion.denoise import Step, xhat
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.stepping import Callback, Noise, Watch, time_at


@torch.no_grad()
def stochastic_heun(
    reverse: Reverse, x: Tensor, times: Tensor, noise: Noise, callback: Callback | None = None
) -> Tensor:
    """A last step to 0 has no corrector: there xhat is the end itself."""
    x, watch = x.double(), Watch(callback)
    for i in range(len(times) - 1):
        step = Step.between(reverse, times[i], times[i + 1])
        now = xhat(reverse, x, time_at(times, i, x))
        x = step.move(x, now, noise(x) if step.sd > 0 else None)
        if times[i + 1] > 0:
            end = xhat(reverse, x, time_at(times, i + 1, x))
            x = x + step.slope / step.H * (end - now)
        watch.see(i + 1, x)
    watch.check()
    return x
