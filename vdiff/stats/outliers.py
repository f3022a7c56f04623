"""How well scores tell two sets of examples apart.

A high likelihood is no sign of having the data's law: models of photographs give constant images
higher ones (Nalisnick et al., arXiv 1810.09136). So beside the likelihood stands typicality, the
distance of a log probability from the mean of the first set's.
"""

import numpy as np
from scipy.stats import rankdata


def auroc(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float]:
    """(probability that a score of `outside` is above one of `inside`, ties half; its standard
    error by DeLong's placements), of (n,) and (m,)."""
    n, m = len(inside), len(outside)
    both = rankdata(np.concatenate([inside, outside]))
    of_outside = (both[n:] - rankdata(outside)) / n  # the share of inside below each
    of_inside = 1 - (both[:n] - rankdata(inside)) / m
    variance = of_outside.var(ddof=1) / m + of_inside.var(ddof=1) / n
    return float(of_outside.mean()), float(np.sqrt(variance))


def typicality(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of both from the mean of the first half of `inside`, whose others are scored."""
    half = len(inside) // 2
    centre = inside[:half].mean()
    return np.abs(inside[half:] - centre), np.abs(outside - centre)
