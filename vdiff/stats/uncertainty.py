"""Standard errors of a mean over images, Monte-Carlo and test-set parts apart.

values z (R, n): R passes over n images; times u (R, n): the uniforms behind the times, which in
each pass are one per stratum. A stratified pass cancels the average effect of time (the trend)
and, each image being used once, of image; what is left is noise and interaction. It is the mean
square of the residuals of the additive model z = image + trend(u), the trend constant in bins.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vdiff.stats.tails import Tail, worst_tail


@dataclass(frozen=True)
class Mean:
    """mean; se_mc: error of the estimate for these images; se_test: error from having n images;
    std_err: both together, for the mean over the population of images. Unit: that of z.
    """

    mean: float
    se_mc: float
    se_test: float
    std_err: float
    deviations: tuple[np.ndarray, ...] = field(repr=False)

    @cached_property
    def tail(self) -> Tail:
        """The worse one of the images' means and of the noise: whether to believe the errors."""
        return worst_tail(self.deviations)


def summarise(z: np.ndarray, u: np.ndarray | None = None) -> Mean:
    """The mean of z (R, n) and its errors; with R = 1 the two parts cannot be told apart.

    u (R, n) are the stratified uniforms; without them all draws count as independent.
    """
    z = np.asarray(z, np.float64)
    R, n = z.shape
    if n < 2:
        raise ValueError(f"There are {n} images; a standard error needs at least 2.")
    trend, bins = (np.zeros_like(z), 1) if u is None else _trend(z, np.asarray(u))
    level = z - trend
    image_means = level.mean(0)
    mean, total = float(z.mean()), image_means.var(ddof=1) / n
    spread = image_means - image_means.mean()
    if R == 1:
        return Mean(mean, np.nan, np.nan, float(np.sqrt(total)), (spread,))
    within = level - image_means
    noise = np.square(within).sum() / max((R - 1) * n - (bins - 1), 1)
    se_mc2 = noise / (R * n)
    se_test2 = max(total - se_mc2, 0.0)
    error = float(np.sqrt(se_mc2 + se_test2))
    # Of an image's draws taken together, for those of two passes differ only in sign.
    tails = (spread, np.sqrt(np.square(within).mean(0)))
    return Mean(mean, float(np.sqrt(se_mc2)), float(np.sqrt(se_test2)), error, tails)


def _trend(z: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, int]:
    """The least-squares effect of bins of u beside that of the image, (R, n), and their number.

    A single pass cannot tell images from times, so there it is the mean of each bin.
    """
    R, n = z.shape
    bins = max(1, min(256, z.size // 8))
    k = np.minimum((u * bins).astype(int), bins - 1)
    count = np.bincount(k.ravel(), minlength=bins)
    if R == 1:
        sums = np.bincount(k.ravel(), z.ravel(), minlength=bins)
        return (sums / np.maximum(count, 1))[k], bins
    centred = z - z.mean(0)
    used = np.zeros((n, bins))  # how often an image fell in a bin
    np.add.at(used, (np.broadcast_to(np.arange(n), k.shape), k), 1)
    normal = np.diag(count) - used.T @ used / R
    right = np.bincount(k.ravel(), centred.ravel(), minlength=bins)
    effect = np.linalg.lstsq(normal, right, rcond=1e-10)[0]
    return effect[k], bins


def paired_difference(z_a: np.ndarray, z_b: np.ndarray, u: np.ndarray | None = None) -> Mean:
    """The mean of z_a - z_b with its own errors: common images and noise cancel."""
    return summarise(np.asarray(z_a) - np.asarray(z_b), u)
