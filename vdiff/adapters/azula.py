"""Denoisers of the package azula (pip install vdiff[models]), which loads many known models.

model = from_azula(denoiser, data=(3, 64, 64))
"""

from collections.abc import Sequence
from typing import Any

from vdiff.adapters.path import from_path
from vdiff.likelihood.model import Model


def from_azula(denoiser: Any, *, data: Sequence[int], **keys: Any) -> Model:
    """A denoiser(x_t, t) whose posterior has a mean, with any schedule (alpha, sigma) of azula's.

    data: the shape of an example; keys: of `wrap`.
    """
    return from_path(
        lambda y, t: denoiser(y, t).mean,
        denoiser.schedule,
        predicts="x0",
        ends=(0.0, 1.0),
        data=data,
        **keys,
    )
