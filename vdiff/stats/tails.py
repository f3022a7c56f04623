"""Whether a standard error is reliable: the tail of what it was computed from.

A mean has a standard error only if the variance is finite, and the sample tells the variance only
if it is not that of a single draw. Both are looked at: the shape k of a generalised Pareto
distribution fitted to the largest deviations at either side (the k-hat of Pareto-smoothed
importance sampling, Vehtari et al. 2024; a variance needs k < 1/2), and the largest draw's share of
the sum of squares. There are three verdicts on n draws:

DOUBTFUL: k-hat is above 1/2 + 1.5 / sqrt(n), exceeded by 2% of samples of normal draws and 5% of
Laplace draws, or fewer, from 50 on; or one draw has more than half of the sum of squares and more
than it has in 1% of samples of n normal draws (`most_share`; half decides from 19 draws on).
RELIABLE: k-hat is below 1/2 - 0.8 / n^(1/4), as in at most 20% of samples of an infinite variance
(Pareto, inverse gamma and t tails of k = 1/2 and more). So only some 40% of samples of normal draws
are reliable at 64, 80% from about 110 on, 99% at 200; of exponential draws 88% at 200.
CANNOT_TELL: the rest, so all that is not doubtful of fewer than 50 draws, or of too many ties, or
where arviz-stats, which fits the tail, is not installed.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    import pandas as pd

RELIABLE, DOUBTFUL, CANNOT_TELL = "reliable", "doubtful", "cannot be told"

NOISE = 1.5  # of k-hat, by the square root of the number of draws
LEAST = 10  # deviations in a tail that can be fitted, of 50 draws


@dataclass(frozen=True)
class Tail:
    """The tail of n draws.

    Attributes:
        k_hat: Shape of the heavier tail; NaN if there are too few draws.
        k_most: The largest k_hat at which the standard error is not doubtful.
        share: The share of the variance that is due to one draw.
    """

    k_hat: float
    k_most: float
    share: float

    @property
    def doubtful(self) -> bool:
        return bool(doubtful(self.k_hat, self.k_most, self.share))

    @property
    def verdict(self) -> str:
        """RELIABLE, DOUBTFUL or CANNOT_TELL."""
        if self.doubtful:
            return DOUBTFUL
        # 1/2 - 0.8 / n^(1/4), as k_most is 1/2 + NOISE / n^(1/2)
        sure = 0.5 - 0.8 * ((self.k_most - 0.5) / NOISE) ** 0.5
        return RELIABLE if self.k_hat < sure else CANNOT_TELL


def doubtful(k_hat, k_most, share):
    """Whether a standard error with such a tail fails the check, elementwise."""
    return (np.asarray(k_hat) > np.asarray(k_most)) | (np.asarray(share) > most_share(k_most))


def most_share(k_most):
    """The largest share of the variance that one of n draws may have, elementwise, for the k_most
    of n draws: a half, or the critical value of Grubbs (1969) at 1% if that is more. One of two
    draws may have any."""
    with np.errstate(divide="ignore", invalid="ignore"):
        n = np.round(np.square(NOISE / (np.asarray(k_most, np.float64) - 0.5)))
        t2 = np.square(special.stdtrit(n - 2, 0.01 / (2 * n)))
        return np.where(n <= 2, 1.0, np.fmax(0.5, (n - 1) / n * t2 / (n - 2 + t2)))


def finds(n: int) -> float:
    """The shape k of a Pareto tail that is doubtful in 80% of samples of n draws, NaN below 50.

    Fitted to simulations of 50 to 20,000 draws, which it meets within 0.04.
    """
    return 0.5 + 1.7 / n ** (1 / 3) + 11 / n if n >= 5 * LEAST else np.nan


def doubts(frame: "pd.DataFrame") -> "pd.Series":
    """Which rows of a table with the columns of a tail fail the check."""
    import pandas as pd

    return pd.Series(doubtful(frame["k_hat"], frame["k_most"], frame["share"]), frame.index)


def why(row: Mapping) -> str:
    """What is wrong with a row that fails the check, as a sentence."""
    return (
        f"its standard error is unreliable: a tail of k = {row['k_hat']:.2f} (at most "
        f"{row['k_most']:.2f}), {row['share']:.0%} of the variance in one draw (at most "
        f"{float(most_share(row['k_most'])):.0%})."
    )


def tail_of(deviations: np.ndarray) -> Tail:
    """The tail of deviations (n,) from a mean, in any unit. It is doubtful, of infinite k, when one
    of them is not finite."""
    x = np.sort(np.asarray(deviations, np.float64))
    k_most = 0.5 + NOISE / max(len(x), 1) ** 0.5
    if not np.isfinite(x).all():
        return Tail(np.inf, k_most, 1.0)
    size = np.abs(x).max(initial=0)
    if size == 0:
        return Tail(np.nan, k_most, 0.0)
    x = x / size  # so that no square leaves the range of floats
    k_hat = float(np.fmax(_k_hat(x), _k_hat(-x[::-1])))
    return Tail(k_hat, k_most, float(1 / np.square(x).sum()))


def _k_hat(x: np.ndarray) -> float:
    """Of the right tail of sorted values (n,) up to 1, NaN if it has fewer than LEAST of them that
    differ, and where arviz-stats is not installed."""
    n = len(x)
    size = int(min(n / 5, 3 * n**0.5))
    if size < LEAST:
        return np.nan
    # Values as large as the one below the tail, as of images of one colour, are not beyond it.
    size = int((x[-size:] > x[-size - 1] + 1e-12).sum())
    if (np.diff(x[-size - 1 :]) > 1e-12).sum() < LEAST:
        return np.nan
    try:
        from arviz_stats.base import array_stats
    except ModuleNotFoundError:
        return np.nan
    r_eff = 9 * n / (size + 0.5) ** 2  # which makes the library's rule 3 sqrt(n / r_eff) that size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(array_stats.pareto_khat(x, chain_axis=None, r_eff=r_eff, tail="right"))


def worst_tail(deviations: Iterable[np.ndarray]) -> Tail:
    """The worst of several sets of n deviations each, in either regard."""
    tails = [tail_of(d) for d in deviations]
    worst = max(tails, key=lambda tail: np.nan_to_num(tail.k_hat - tail.k_most, nan=-np.inf))
    return Tail(worst.k_hat, worst.k_most, max(tail.share for tail in tails))
