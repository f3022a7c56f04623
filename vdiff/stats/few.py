"""Means over few draws and their errors, one for each of many examples.

The draws of an example are spread in time: four to seven independent ones in each of equal strata,
so that its variance is known without bias and without the differences between strata. Four, because
with two an interval of 95% covers 86 to 90% where one of 16 strata has 100 times the variance of
the others: two draws that are near by chance do not tell, whatever degrees of freedom they get.

How often mean ± 1.96 error covers the truth, by 20,000 simulations each, the least and the most of
20 numbers of draws from 2 to 128: normal draws of one variance 94.8 to 96.0%, of variances that
differ between strata by 9 to 900, in one stratum or in all, 93.4 to 96.0%; gamma draws of shape 4
93.2 to 95.2%; exponential draws 88 to 91% at 2 to 7, 91 to 95% at 8 to 128.
"""

import numpy as np
from scipy import special

from vdiff.stats.intervals import Z95

EACH = 4
"""Draws in a stratum, at least; fewer draws than twice as many are in one."""


def strata(draws: int) -> np.ndarray:
    """(draws,): the stratum of each draw, in order; EACH or a few more draws are in each."""
    return np.arange(draws) * max(draws // EACH, 1) // max(draws, 1)


def mean_and_error(z: np.ndarray, where: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The means (n,) of z (n, draws) and their errors (n,), in the unit of z.

    where (draws,): the stratum of each column, of equal width; by default those of `strata`. An
    example's mean and error depend on its own draws alone. mean ± 1.96 error covers the truth in
    95% of cases: the error is widened by Student's t with the degrees of freedom of Welch and
    Satterthwaite. It is 0 for constant draws, NaN where a stratum has a single draw.
    """
    z = np.asarray(z, np.float64)
    where = strata(z.shape[1]) if where is None else np.asarray(where)
    parts = [z[:, where == j] for j in np.unique(where)]
    mean = np.mean([part.mean(1) for part in parts], 0)
    df = np.array([[part.shape[1] - 1] for part in parts])
    if df.min() < 1:
        return mean, np.full(len(z), np.nan)
    # Less the first draw of each: equal draws then have no variance by rounding.
    each = np.array([(p - p[:, :1]).var(1, ddof=1) / p.shape[1] for p in parts])
    variance = each.sum(0)
    with np.errstate(invalid="ignore"):
        total_df = 1 / (np.square(each / variance) / df).sum(0)
    error = np.sqrt(variance) / len(parts) * special.stdtrit(total_df, 0.975) / Z95
    return mean, np.where(variance == 0, 0, error)
