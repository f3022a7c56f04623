"""Denoisers of the package azula (pip install vdiff[models]), which loads many known models.

model = from_azula(denoiser, data=(3, 64, 64))
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vdiff.diffusion.sdes.ve import VESDE
from vdiff.diffusion.tensors import expand_like
from vdiff.wrapped import Wrapped, wrap

HALVINGS = 50  # of [0, 1], in which a time is looked for


def from_azula(denoiser: Any, *, data: Sequence[int], **keys: Any) -> Wrapped:
    """A denoiser(x_t, t) whose posterior has a mean, with any schedule (alpha, sigma) of azula's.

    The likelihood depends on y / alpha at the noise level sigma / alpha alone, the SDE `ve`. data:
    the shape of an example; keys: of `wrap`.
    """
    schedule = denoiser.schedule

    def level(t: Tensor) -> Tensor:
        alpha, sigma = schedule(t)
        return sigma / alpha

    def net(y: Tensor, s: Tensor) -> Tensor:
        low, high = (
            torch.zeros_like(s, dtype=torch.float64),
            torch.ones_like(s, dtype=torch.float64),
        )
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = level(middle) < s
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        t = ((low + high) / 2).to(y.dtype)
        return denoiser(expand_like(schedule(t)[0], y) * y, t).mean

    ends = level(torch.tensor([0.0, 1.0], dtype=torch.float64))
    more = {"s_min": float(ends[0]) * (1 + 1e-6), "predicts": "x0", "data": tuple(data)}
    return wrap(net, **{"schedule": VESDE(float(ends[1])), **more, **keys})
