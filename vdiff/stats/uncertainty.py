"""Standard errors of a mean over images, Monte-Carlo and test-set parts apart.

values z (R, n): R passes over n images; times u (R, n): the uniforms behind the times, which in
each pass are one per stratum. A stratified pass cancels the average effect of time (the trend)
and, each image being used once, of image; what is left is noise and interaction. It is estimated
from differences of neighbours in u once trend and image means are gone ("collapsed strata").
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mean:
    """mean; se_mc: error of the estimate for these images; se_test: error from having n images;
    std_err: both together, for the mean over the population of images. Unit: that of z.
    """

    mean: float
    se_mc: float
    se_test: float
    std_err: float


def summarise(z: np.ndarray, u: np.ndarray | None = None) -> Mean:
    """The mean of z (R, n) and its errors; with R = 1 the two parts cannot be told apart.

    u (R, n) are the stratified uniforms; without them all draws count as independent.
    """
    z = np.asarray(z, np.float64)
    R, n = z.shape
    if n < 2:
        raise ValueError(f"There are {n} images; a standard error needs at least 2.")
    level = z if u is None else z - _trend(z, u)
    image_means = level.mean(0)
    total = image_means.var(ddof=1) / n
    if R == 1:
        return Mean(float(z.mean()), np.nan, np.nan, float(np.sqrt(total)))
    within = level.var(0, ddof=1).mean()  # of one draw, for one image
    if u is None:
        se_mc2 = within / (R * n)
    else:
        residual = np.take_along_axis(z - image_means, np.argsort(u, 1), 1)
        noise = np.square(np.diff(residual, axis=1)).mean() / 2 * R / (R - 1)
        se_mc2 = noise / (R * n)
    se_test2 = max(total - within / (R * n), 0.0)
    return Mean(
        float(z.mean()),
        float(np.sqrt(se_mc2)),
        float(np.sqrt(se_test2)),
        float(np.sqrt(se_mc2 + se_test2)),
    )


def _trend(z: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The mean of z in bins of u that hold at least some twenty draws each, (R, n)."""
    bins = max(1, min(64, z.size // 20))
    k = np.minimum((np.asarray(u) * bins).astype(int), bins - 1).ravel()
    count = np.bincount(k, minlength=bins)
    sums = np.bincount(k, z.ravel(), minlength=bins)
    return (sums / np.maximum(count, 1))[k].reshape(z.shape)


def paired_difference(z_a: np.ndarray, z_b: np.ndarray, u: np.ndarray | None = None) -> Mean:
    """The mean of z_a - z_b with its own errors: common images and noise cancel."""
    return summarise(np.asarray(z_a) - np.asarray(z_b), u)
