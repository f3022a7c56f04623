"""Standard errors and 95% intervals that several places need."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import optimize, special

if TYPE_CHECKING:
    import pandas as pd

Z95 = float(special.ndtri(0.975))
"""Half the width of a 95% normal interval, in standard errors: 1.96."""

GROUPS = 10
"""Groups of batches behind the jackknife of a training gradient."""


def t95(df: float) -> float:
    """Half the width of a 95% interval of Student's t, in standard errors."""
    return float(special.stdtrit(df, 0.975))


class Noise(NamedTuple):
    """A normal error of an estimate: its standard error, the degrees of freedom behind that,
    infinite for a known one, and what it is over, such as `draws`."""

    std_err: float
    df: float
    of: str = "draws"


def quantile(noises: Sequence[Noise], level: float) -> float:
    """What the sum of independent noises exceeds with probability level, at most, up to 1/2.

    The root of the sum of the squares of each one's own quantile of Student's t: exact for one,
    and for several on the safe side at every level (Banerjee 1960), because the distribution
    function of chi-squared of 1 is concave. One t of the degrees of freedom of Welch and
    Satterthwaite is not: in the tails it errs up to ten times as often as it says.
    """
    each = sum((special.stdtrit(noise.df, level) * noise.std_err) ** 2 for noise in noises)
    return np.copysign(np.sqrt(each), 0.5 - level)


SMALLEST = 1e-100  # p-value that is told from 0


def p_value(effect: float, noises: Sequence[Noise]) -> float:
    """The level at which `quantile` is the effect: one-sided, that it is not above 0."""
    if len(noises) == 1:
        return float(special.stdtr(noises[0].df, -effect / noises[0].std_err))
    if effect < 0:
        return 1 - p_value(-effect, noises)
    if effect >= quantile(noises, SMALLEST):
        return SMALLEST

    def beyond(log_level: float) -> float:
        return effect - quantile(noises, np.exp(log_level))

    return float(np.exp(optimize.brentq(beyond, np.log(SMALLEST), np.log(0.5))))


@lru_cache
def _chances(df: float) -> np.ndarray:
    """Of a variance with df degrees of freedom over its truth, at even chances."""
    if df == np.inf:
        return np.ones(1)
    n = 200 if df < 50 else 20
    return 2 / df * special.gammaincinv(df / 2, (np.arange(n) + 0.5) / n)


def power(effect: float, noises: Sequence[Noise], level: float) -> float:
    """With what probability an estimate of an effect exceeds `quantile`: for one noise by the
    noncentral t."""
    square, variance = np.zeros(()), sum(noise.std_err**2 for noise in noises)
    for noise in noises:
        half = special.stdtrit(noise.df, level) * noise.std_err
        square = np.add.outer(square, half**2 * _chances(noise.df))
    return float(special.ndtr((effect - np.sqrt(square)) / variance**0.5).mean())


def effect_found(noises: Sequence[Noise], level: float, wanted: float) -> float:
    """The least effect that a test at a level finds with the power wanted."""
    most = 10 * quantile(noises, level)
    return float(optimize.brentq(lambda x: power(x, noises, level) - wanted, 0, most, rtol=1e-6))


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


def late(curve: "pd.DataFrame", end: float | None = None) -> "pd.DataFrame":
    """The last fifth of a training, over which the published curves are read (80k to 100k), had it
    ended after `end` iterations."""
    end = curve["iteration"].max() if end is None else end
    return curve[curve["iteration"].between(0.8 * end, end)]


def error_of(low, high):
    """The standard error of what has a normal interval of 95%."""
    return (high - low) / (2 * Z95)


def leave_one_out(n: int, value: Callable[[np.ndarray], np.ndarray | float]) -> np.ndarray:
    """value(keep) for each of n boolean masks that leave one element out, (n, ...)."""
    return np.array([value(np.arange(n) != k) for k in range(n)])
