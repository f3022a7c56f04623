"""Integrators of the lambda family, one a file, behind one interface.

sampler(reverse, x, times, noise, callback) carries x (B, ...) through the forward times
times[0] > times[1] > ... and returns it, float64. It is a pure function: `noise(x)` returns
standard normal noise like x and decides the randomness alone; `callback(i, x)` sees the state
after step i = 1..N. A state that is not finite raises VdiffError, naming the step.
"""

from collections.abc import Callable

from torch import Tensor

from vdiff.errors import VdiffError
from vdiff.reverse import Reverse
from vdiff.samplers.adaptive import adaptive
from vdiff.samplers.euler_maruyama import euler_maruyama
from vdiff.samplers.exponential import exponential
from vdiff.samplers.heun import heun
from vdiff.samplers.multistep import multistep
from vdiff.samplers.state import Callback, Noise
from vdiff.samplers.stochastic_heun import stochastic_heun

Sampler = Callable[[Reverse, Tensor, Tensor, Noise, Callback | None], Tensor]

SAMPLERS: dict[str, Sampler] = {
    "euler_maruyama": euler_maruyama,
    "exponential": exponential,
    "multistep": multistep,
    "heun": heun,
    "stochastic_heun": stochastic_heun,
    "adaptive": adaptive,
}


def sampler_of(name: str) -> Sampler:
    if name not in SAMPLERS:
        raise VdiffError(f"The sampler is {name!r}; it must be one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]
