"""Whether a standard error is to be believed: the tail of what it was computed from.

A mean has a standard error only if the variance is finite, and the sample tells the variance only
if it is not that of a single draw. Both are looked at: the shape k of a generalised Pareto
distribution fitted to the largest deviations (the k-hat of Pareto-smoothed importance sampling,
Vehtari et al. 2024; a variance needs k < 1/2), and the largest draw's share of the sum of squares.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import genpareto

MOST_K, MOST_SHARE = 0.5, 0.5
LEAST = 10  # deviations in a tail that can be fitted, of 50 draws


@dataclass(frozen=True)
class Tail:
    """k_hat: shape of the tail, NaN if there are few draws; share: of the variance in one draw."""

    k_hat: float
    share: float

    @property
    def doubtful(self) -> bool:
        return bool(doubtful(self.k_hat, self.share))


def doubtful(k_hat, share):
    """Whether a standard error with such a tail fails the check, elementwise."""
    return (np.asarray(k_hat) > MOST_K) | (np.asarray(share) > MOST_SHARE)


def doubts(frame: pd.DataFrame) -> pd.Series:
    """Which rows of a table with the columns k_hat and share fail the check."""
    return pd.Series(doubtful(frame["k_hat"], frame["share"]), frame.index)


def why(row: Mapping) -> str:
    """What is wrong with a row that fails the check, as a sentence."""
    return (
        f"its standard error is not to be believed: a tail of k = {row['k_hat']:.2f} (at most "
        f"{MOST_K}), {row['share']:.0%} of the variance in one draw (at most {MOST_SHARE:.0%})."
    )


def tail_of(deviations: np.ndarray) -> Tail:
    """The tail of deviations (n,) from a mean, both sides together."""
    x = np.sort(np.abs(np.asarray(deviations, np.float64)))
    squares = np.square(x)
    total = squares.sum()
    share = float(squares[-1] / total) if total > 0 else 0.0
    size = int(min(0.2 * len(x), 3 * len(x) ** 0.5))
    if size < LEAST:
        return Tail(np.nan, share)
    beyond = x[-size:] - x[-size - 1]
    beyond = beyond[beyond > 1e-12 * x[-1]]  # ties, as of images of one colour
    if len(beyond) < LEAST:
        return Tail(np.nan, share)
    return Tail(float(genpareto.fit(beyond / beyond.mean(), floc=0)[0]), share)


def worst_tail(deviations: Iterable[np.ndarray]) -> Tail:
    """The worst of several sets of deviations, in either regard."""
    tails = [tail_of(d) for d in deviations]
    k_hat = float(np.fmax.reduce([tail.k_hat for tail in tails]))
    return Tail(k_hat, max(tail.share for tail in tails))
