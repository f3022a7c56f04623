"""Standard errors and 95% intervals that several places need."""

from collections.abc import Callable

import numpy as np
from scipy import stats

Z95 = float(stats.norm.ppf(0.975))
"""Half the width of a 95% normal interval, in standard errors: 1.96."""


def std_err(z: np.ndarray) -> float:
    """The standard error of the mean of z (n,)."""
    return float(np.std(z, ddof=1) / len(z) ** 0.5)


def jackknife(parts: np.ndarray) -> np.ndarray:
    """The jackknife standard error from leave-one-out values, (n, ...) to (...)."""
    n = len(parts)
    return np.sqrt((n - 1) / n * np.square(parts - parts.mean(0)).sum(0))


def leave_one_out(n: int, value: Callable[[np.ndarray], np.ndarray | float]) -> np.ndarray:
    """value(keep) for each of n boolean masks that leave one element out, (n, ...)."""
    return np.array([value(np.arange(n) != k) for k in range(n)])
