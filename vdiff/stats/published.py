"""The published effect of debiasing, from the curves that were read off the paper's plots.

They are CIFAR-10's, arXiv 2106.02808, by the paper's estimator (`resources.published_curves`).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from vdiff.stats.intervals import late, std_err


class Published(NamedTuple):
    """debias True against False, each with its standard error. gain: by how much lower its
    bits/dim are. log_ratio: log of the ratio of the standard errors of the two curves."""

    gain: float
    gain_error: float
    log_ratio: float
    log_ratio_error: float


def published_effect(curves: pd.DataFrame) -> Published:
    """Means over the marks of the last fifth of training (80k to 100k iterations), and the errors
    from how these scatter: each mark has draws of its own. Other images and other trainings are
    not in them."""
    by_arm = late(curves).pivot(index="iteration", columns="debias")
    bpd, error = by_arm["bpd"], by_arm["bpd_std_err"]
    gains = (bpd[False] - bpd[True]).to_numpy()
    ratios = np.log(error[True] / error[False]).to_numpy()
    return Published(gains.mean(), std_err(gains), ratios.mean(), std_err(ratios))
