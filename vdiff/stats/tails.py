"""Whether a standard error is reliable: the tail of what it was computed from.

A mean has a standard error only if the variance is finite, and the sample tells the variance only
if it is not that of a single draw. Both are looked at: the shape k of a generalised Pareto
distribution fitted to the largest deviations at either side (the k-hat of Pareto-smoothed
importance sampling, Vehtari et al. 2024; a variance needs k < 1/2), and the largest draw's share of
the sum of squares. What k-hat may be at most allows for its own noise: 1/2 + 1.5 / sqrt(n) for n
draws is exceeded by 2% of samples of normal draws and 5% of Laplace draws, or fewer, from 50 on.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats

MOST_SHARE = 0.5
LEAST = 10  # deviations in a tail that can be fitted, of 50 draws


@dataclass(frozen=True)
class Tail:
    """k_hat: shape of the heavier tail, NaN if there are few draws; k_most: the largest at which
    the standard error is reliable; share: of the variance in one draw."""

    k_hat: float
    k_most: float
    share: float

    @property
    def doubtful(self) -> bool:
        return bool(doubtful(self.k_hat, self.k_most, self.share))


def doubtful(k_hat, k_most, share):
    """Whether a standard error with such a tail fails the check, elementwise."""
    return (np.asarray(k_hat) > np.asarray(k_most)) | (np.asarray(share) > MOST_SHARE)


def doubts(frame: pd.DataFrame) -> pd.Series:
    """Which rows of a table with the columns of a tail fail the check."""
    return pd.Series(doubtful(frame["k_hat"], frame["k_most"], frame["share"]), frame.index)


def why(row: Mapping) -> str:
    """What is wrong with a row that fails the check, as a sentence."""
    return (
        f"its standard error is unreliable: a tail of k = {row['k_hat']:.2f} (at most "
        f"{row['k_most']:.2f}), {row['share']:.0%} of the variance in one draw (at most "
        f"{MOST_SHARE:.0%})."
    )


def tail_of(deviations: np.ndarray) -> Tail:
    """The tail of deviations (n,) from a mean."""
    x = np.sort(np.asarray(deviations, np.float64))
    squares = np.square(x)
    total = squares.sum()
    share = float(squares.max() / total) if total > 0 else 0.0
    k_hat = float(np.fmax(_k_hat(x), _k_hat(-x[::-1])))
    return Tail(k_hat, 0.5 + 1.5 / len(x) ** 0.5, share)


def _k_hat(x: np.ndarray) -> float:
    """Of the right tail of sorted values (n,), NaN if it has fewer than LEAST."""
    n = len(x)
    size = int(min(n / 5, 3 * n**0.5))
    if size < LEAST:
        return np.nan
    # Values as large as the one below the tail, as of images of one colour, are not beyond it.
    size = int((x[-size:] > x[-size - 1] + 1e-12 * np.abs(x).max()).sum())
    if size < LEAST:
        return np.nan
    r_eff = 9 * n / (size + 0.5) ** 2  # which makes the library's rule 3 sqrt(n / r_eff) that size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(array_stats.pareto_khat(x, chain_axis=None, r_eff=r_eff, tail="right"))


def worst_tail(deviations: Iterable[np.ndarray]) -> Tail:
    """The worst of several sets of deviations, in either regard."""
    tails = [tail_of(d) for d in deviations]
    worst = max(tails, key=lambda tail: np.nan_to_num(tail.k_hat - tail.k_most, nan=-np.inf))
    return Tail(worst.k_hat, worst.k_most, max(tail.share for tail in tails))
