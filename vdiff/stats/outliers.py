"""How well scores tell two sets of examples apart.

A high likelihood is no sign of having the data's law: models of photographs give constant images
higher ones (Nalisnick et al., arXiv 1810.09136). So beside the likelihood stands typicality, the
distance of a log probability from the mean of the first set's (arXiv 1906.02994).

Scores are higher for what is taken to be outside, (n,) of examples inside and (m,) of those
outside; outside is what is to be found (the positive class), as in arXiv 1812.04606.
"""

import math

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

RESAMPLED = 200  # sets, for a standard error that is itself known to 5%
LEAST = 4  # examples of a set, of which typicality takes half for its centre


def auroc(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float]:
    """(probability that a score of `outside` is above one of `inside`, ties half; its standard
    error by DeLong's placements), of (n,) and (m,)."""
    n, m = len(inside), len(outside)
    both = rankdata(np.concatenate([inside, outside]))
    of_outside = (both[n:] - rankdata(outside)) / n  # the share of inside below each
    of_inside = 1 - (both[:n] - rankdata(inside)) / m
    variance = of_outside.var(ddof=1) / m + of_inside.var(ddof=1) / n
    return float(of_outside.mean()), float(np.sqrt(variance))


def aupr(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float]:
    """(average precision, which is the area under the curve of precision and recall; its standard
    error by the influence of each example). By chance it is m / (n + m)."""
    n, m = len(inside), len(outside)
    truth = np.repeat([0, 1], [n, m])
    value = float(average_precision_score(truth, np.concatenate([inside, outside])))
    order, below = np.sort(outside), np.sort(inside)
    # Of those at least as high as each that is outside, in ascending order:
    a, b = m - np.searchsorted(order, order), n - np.searchsorted(below, order)
    of_a, of_b = (np.append(0, np.cumsum(z / (a + b) ** 2)) for z in (b, -a))
    # An example counts at all thresholds up to its own score, less what it does in the mean.
    up_to = np.searchsorted(order, order, "right")
    one = a / (a + b) - value + of_a[up_to] - of_a[up_to].mean()
    two = of_b[np.searchsorted(order, below, "right")]
    two = two - two.mean()
    return value, float(np.sqrt(np.square(one).sum() + np.square(two).sum()) / m)


def false_alarms(inside: np.ndarray, outside: np.ndarray) -> float:
    """The share of `inside` above the threshold that finds 95% of `outside`: the false positive
    rate at a true positive rate of 95%."""
    caught = math.ceil(0.95 * len(outside) - 1e-9)
    return float((inside >= np.sort(outside)[-caught]).mean())


def fpr95(inside: np.ndarray, outside: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """`false_alarms` and its standard error by the bootstrap of both sets."""
    rng = np.random.default_rng(seed)
    values = [
        false_alarms(rng.choice(inside, len(inside)), rng.choice(outside, len(outside)))
        for _ in range(RESAMPLED)
    ]
    return false_alarms(inside, outside), float(np.std(values, ddof=1))


def typicality(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the second half of `inside` and of `outside` from the mean of the first half."""
    half = len(inside) // 2
    centre = inside[:half].mean()
    return np.abs(inside[half:] - centre), np.abs(outside - centre)
