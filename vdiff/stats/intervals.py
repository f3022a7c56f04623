"""Standard errors and 95% intervals that several places need."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    import pandas as pd

Z95 = float(special.ndtri(0.975))
"""Half the width of a 95% normal interval, in standard errors: 1.96."""

GROUPS = 10
"""Groups of batches behind the jackknife of a training gradient."""


def t95(df: float) -> float:
    """Half the width of a 95% interval of Student's t, in standard errors."""
    return float(special.stdtrit(df, 0.975))


def added(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Independent (standard error, degrees of freedom) of a sum, by Welch and Satterthwaite."""
    (a, m), (b, n) = first, second
    error = np.hypot(a, b)
    return float(error), float(error**4 / (a**4 / m + b**4 / n)) if error > 0 else m + n


def std_err(z: np.ndarray) -> float:
    """The standard error of the mean of z (n,)."""
    return float(np.std(z, ddof=1) / len(z) ** 0.5)


def adjusted(z: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """z (n,) less what it has in common with controls (n, P) of mean 0, by least squares: of the
    same mean but for a bias of order 1/n, and less variance."""
    design = np.column_stack([np.ones(len(z)), controls])
    coefficients = np.linalg.lstsq(design, z, rcond=None)[0]
    return z - controls @ coefficients[1:]


def jackknife(parts: np.ndarray) -> np.ndarray:
    """The jackknife standard error from leave-one-out values, (n, ...) to (...)."""
    n = len(parts)
    return np.sqrt((n - 1) / n * np.square(parts - parts.mean(0)).sum(0))


def late(curve: "pd.DataFrame") -> "pd.DataFrame":
    """The last fifth of a training, over which the published curves are read (80k to 100k)."""
    return curve[curve["iteration"] >= 0.8 * curve["iteration"].max()]


def error_of(low, high):
    """The standard error of what has a normal interval of 95%."""
    return (high - low) / (2 * Z95)


def leave_one_out(n: int, value: Callable[[np.ndarray], np.ndarray | float]) -> np.ndarray:
    """value(keep) for each of n boolean masks that leave one element out, (n, ...)."""
    return np.array([value(np.arange(n) != k) for k in range(n)])
