"""Which steps of a sampler make an animation."""

import numpy as np

from vdiff.config import Integration


def frame_steps(settings: Integration) -> list[int]:
    """The steps after which the frames of an animation are taken, densest at the end."""
    left = np.linspace(1, 0, settings.frames) ** 2
    return sorted({int(i) for i in (settings.steps - (settings.steps - 1) * left).round()})
