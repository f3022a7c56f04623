"""Networks as EDM's code has them: D(x, sigma) or D(x, sigma, labels), the denoised x.

model = from_edm(net)
"""

import math
from typing import Any

from vdiff.diffusion.sdes.ve import VESDE
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap


def from_edm(net: Any, **keys: Any) -> Model:
    """A preconditioned network (EDMPrecond, VPPrecond and so on, arXiv 2206.00364) with its
    img_channels and img_resolution; noise levels from its sigma_min, at least 0.002, to its
    sigma_max, at most 80, unless `s_min` and `schedule` say otherwise. keys: of `wrap`; a network
    for classes takes them as its condition, one-hot."""
    least = max(float(getattr(net, "sigma_min", 0)), 0.002)
    most = float(getattr(net, "sigma_max", math.inf))
    size = net.img_resolution
    own = {
        "schedule": VESDE(min(most, 80.0)),
        "predicts": "x0",
        "s_min": least,
        "data": (net.img_channels, size, size),
    }
    return wrap(net, **{**own, **keys})
