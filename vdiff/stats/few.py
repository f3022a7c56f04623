"""Errors of means over few draws, one mean for each of many examples.

The draws of an example are spread in time: two (or three) independent ones in each of equal strata,
so that its variance is known without bias and without the differences between strata. Of few draws
that variance is itself uncertain. Examples lend each other theirs: it is shrunk towards a common
one by the empirical Bayes estimate of G. K. Smyth (2004, "Linear models and empirical Bayes
methods"), and the error is widened by Student's t to what covers the truth as often as a normal
one would.
"""

import numpy as np
from scipy import special, stats

from vdiff.stats.intervals import Z95

MOST_DF = 1e6


def strata(draws: int) -> np.ndarray:
    """(draws,): the stratum of each draw; 2 each, 3 in the last for an odd number."""
    return np.minimum(np.arange(draws) // 2, max(draws // 2, 1) - 1)


def mean_and_error(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The means (n,) of z (n, draws), columns in the strata of `strata`, and their errors (n,).

    mean ± 1.96 error covers the truth in 95% of cases; the error of one draw is not known (NaN).
    """
    z = np.asarray(z, np.float64)
    n, draws = z.shape
    if draws < 2:
        return z[:, 0], np.full(n, np.nan)
    where = strata(draws)
    parts = [z[:, where == j] for j in range(where[-1] + 1)]
    mean = np.mean([part.mean(1) for part in parts], 0)
    each = np.array([part.var(1, ddof=1) / part.shape[1] for part in parts])
    variance = each.sum(0) / len(parts) ** 2
    df = draws - len(parts)
    prior, prior_df = shared_variance(variance, df)
    total = df + prior_df
    shrunk = (df * variance + prior_df * prior) / total
    return mean, np.sqrt(shrunk) * stats.t.ppf(0.975, total) / Z95


def shared_variance(variance: np.ndarray, df: float) -> tuple[float, float]:
    """The common variance of variances (n,) of df degrees of freedom each, and how many degrees of
    freedom it is worth: many when they are alike, 0 when they have nothing in common."""
    positive = variance[variance > 0]
    if len(positive) < 2:
        return 0.0, 0.0
    e = np.log(positive) - special.digamma(df / 2) + np.log(df / 2)
    excess = e.var(ddof=1) - special.polygamma(1, df / 2)
    if excess <= 0:
        return float(np.exp(e.mean())), MOST_DF
    half = _inverse_trigamma(float(excess))
    return float(np.exp(e.mean() + special.digamma(half) - np.log(half))), 2 * half


def _inverse_trigamma(value: float) -> float:
    """The x at which the trigamma function has a value, by Newton's method on its reciprocal.

    >>> round(_inverse_trigamma(float(special.polygamma(1, 2.5))), 9)
    2.5
    """
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = special.polygamma(1, x)
        change = trigamma * (1 - trigamma / value) / special.polygamma(2, x)
        x += change
        if abs(change) < 1e-12 * x:
            break
    return float(x)
