"""What the sampling steps share: one solver on one grid, and which steps make an animation."""

import numpy as np
from torch import Tensor

from vdiff.config import Integration
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.samplers import sampler_of
from vdiff.diffusion.stepping import Callback, Noise


def integrate(
    reverse: Reverse,
    x: Tensor,
    settings: Integration,
    noise: Noise,
    callback: Callback | None = None,
) -> Tensor:
    """x (B, ...) from T to 0 as the settings say."""
    times = grid_of(settings.grid, reverse.sde, settings.steps)
    return sampler_of(settings.sampler)(reverse, x, times, noise, callback)


def frame_steps(settings: Integration) -> list[int]:
    """The steps after which the frames of an animation are taken, densest at the end."""
    left = np.linspace(1, 0, settings.frames) ** 2
    return sorted({int(i) for i in (settings.steps - (settings.steps - 1) * left).round()})
