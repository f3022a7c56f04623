"""The gradient of the bound: that of each draw, whose mean is that of the bound.

Times and noise do not depend on x, and every term of the efficient estimator is smooth in x nearly
everywhere, its control variates too: the derivative of an unbiased draw is an unbiased draw.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.control import ControlVariates, efficient
from vdiff.diffusion.drift import Drift, checked


class Gradient(NamedTuple):
    """The gradient of the bound by examples (N, ...).

    Attributes:
        value: (N, ...), nats per unit of x, or per grey level.
        error: (N, ...); value ± 1.96 error covers a coordinate in 95% of cases; NaN where that
            cannot be known.
    """

    value: np.ndarray
    error: np.ndarray


@torch.enable_grad()
def slope(
    a: Drift, x: Tensor, y: Tensor, log_det: Tensor, u: Tensor, eps: Tensor,
    controls: ControlVariates,
) -> Tensor:  # fmt: skip
    """By the rows x (B, ...), of which y and log_det were computed: like x, float64, of the draw
    that `bound` is. Raises VdiffError when the network's output is not finite."""
    value = efficient(checked(a), y, u, eps, controls).value + log_det
    return torch.autograd.grad(value.sum(), x)[0].double()
