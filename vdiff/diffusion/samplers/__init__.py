"""Integrators of the lambda family, one per file, behind one interface.

sampler(reverse, x, times, noise, callback) carries x (B, ...) through the forward times
times[0] > times[1] > ... and returns it, float64. It is a pure function: `noise(x)` returns
standard normal noise like x and decides the randomness alone; `callback(i, x)` sees the state
after step i = 1..N. A state that is not finite raises VdiffError, naming the step.

The module's name is the sampler's name, and that of its function.
"""

import importlib
import pkgutil
from collections.abc import Callable

from torch import Tensor

from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.stepping import Callback, Noise
from vdiff.errors import VdiffError

Solver = Callable[[Reverse, Tensor, Tensor, Noise, Callback | None], Tensor]

SAMPLERS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def sampler_of(name: str) -> Solver:
    """The sampler of that name; raises VdiffError for an unknown one."""
    if name not in SAMPLERS:
        raise VdiffError(f"The sampler is {name!r}; it must be one of {', '.join(SAMPLERS)}.")
    return getattr(importlib.import_module(f"{__name__}.{name}"), name)
