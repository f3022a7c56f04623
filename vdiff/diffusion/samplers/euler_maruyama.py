"""Euler-Maruyama, the paper's sampler: weak order 1, noise on the last step too."""

import torch
from torch import Tensor

from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.stepping import Callback, Noise, Watch, time_at


@torch.no_grad()
def euler_maruyama(
    reverse: Reverse, x: Tensor, times: Tensor, noise: Noise, callback: Callback | None = None
) -> Tensor:
    """x + dt mu + sqrt(dt) sigma z; one network evaluation a step."""
    x, watch = x.double(), Watch(callback)
    for i in range(len(times) - 1):
        dt = float(times[i] - times[i + 1])
        x = x + dt * reverse.mu(x, time_at(times, i, x))
        if reverse.lmbd < 1:
            x = x + dt**0.5 * float(reverse.sigma(times[i])) * noise(x)
        watch.see(i + 1, x)
    watch.check()
    return x
