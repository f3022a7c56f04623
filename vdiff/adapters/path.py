"""Networks of a Gaussian path y_t = alpha(t) x + sigma(t) eps given as functions of any time t.

The likelihood depends on y / alpha at the noise level sigma / alpha alone: the SDE `ve`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from vdiff.diffusion.sdes.ve import VESDE
from vdiff.diffusion.tensors import expand_like
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap

HALVINGS = 50  # of the path's times, between which a noise level is looked for
Path = Callable[[Tensor], tuple[Tensor, Tensor]]
"""t (B,) to alpha (B,) and sigma (B,)."""


def from_path(
    net: Callable[..., Tensor],
    path: Path,
    *,
    predicts: Literal["x0", "noise", "score"],
    ends: tuple[float, float],
    data: Sequence[int],
    **keys: Any,
) -> Model:
    """The model of a network on the path y_t = alpha(t) x + sigma(t) eps.

    Arguments:
        net: net(y_t, t), with conditions as `vdiff.wrap` has them.
        path: t (B,) to alpha (B,) and sigma (B,).
        predicts: x0, noise or score.
        ends: The path's times nearest the data and nearest the noise, in this order; either may be
            the larger.
        data: The shape of an example.
        **keys: Further arguments of `vdiff.wrap`.
    """

    def level(t: Tensor) -> Tensor:
        alpha, sigma = path(t)
        return sigma / alpha

    def time_at(s: Tensor) -> Tensor:
        near, far = (torch.full_like(s, end, dtype=torch.float64) for end in ends)
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            below = level(middle) < s
            near, far = torch.where(below, middle, near), torch.where(below, far, middle)
        return (near + far) / 2

    def of_level(y: Tensor, s: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        t = time_at(s).to(y.dtype)
        alpha = expand_like(path(t)[0].to(y.dtype), y)
        out = net(alpha * y, t, *condition, **named)
        return alpha * out if predicts == "score" else out

    least, most = level(torch.tensor(ends, dtype=torch.float64)).tolist()
    more = {"s_min": least * (1 + 1e-6) or 1e-4 * most, "predicts": predicts, "data": tuple(data)}
    return wrap(of_level, **{"schedule": VESDE(most), **more, **keys})
