"""A two-step exponential integrator: order 2 at lmbd = 1 for one network evaluation a step."""

import torch
from torch import Tensor

from vdiff.diffusion.denoise import Step, xhat
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.stepping import Callback, Noise, Watch, time_at


@torch.no_grad()
def multistep(
    reverse: Reverse, x: Tensor, times: Tensor, noise: Noise, callback: Callback | None = None
) -> Tensor:
    """xhat follows its last slope in log SNR; the first step and a last one to 0 hold it."""
    x, watch = x.double(), Watch(callback)
    before: Tensor | None = None
    H_before = 0.0
    for i in range(len(times) - 1):
        step = Step.between(reverse, times[i], times[i + 1])
        now = xhat(reverse, x, time_at(times, i, x))
        x = step.move(x, now, noise(x) if step.sd > 0 else None)
        if before is not None:
            x = x + step.slope / H_before * (now - before)
        before, H_before = now, step.H
        watch.see(i + 1, x)
    watch.check()
    return x
