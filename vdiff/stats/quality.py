"""How good samples are, from features: x (n, d) of samples, y (m, d) of real images, both by one
`scaling`, of images apart from y: were it y's own, a jackknife would not see its noise.

kernel: the unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3 (the kernel
distance of Binkowski et al., arXiv 1801.01401); its error is a jackknife over samples and real
images. classifier: how far above one half a logistic
regression tells samples from real images it has not seen (Lopez-Paz and Oquab, arXiv 1610.06545).
precision, recall, density, coverage: shares within the radii of the K nearest neighbours
(Kynkaanniemi et al., arXiv 1904.06991; Naeem et al., arXiv 2002.09797). copies: the share of
samples that are nearer to a training image than all but 1% of real test images are.
"""

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestNeighbors

from vdiff.stats.intervals import jackknife, std_err

K = 5  # nearest neighbours
NEAREST = 0.01  # of real test images are as near to a training image as a copy is


def scaling(z: np.ndarray, each: bool) -> Callable[[np.ndarray], np.ndarray]:
    """A function that takes z's mean from features and divides by z's standard deviation: each
    feature's own, or that of all together where some hardly vary, as with pixels."""
    mean, sd = z.mean(0), z.std(0)
    use = sd >= (1e-3 * sd.max() if each else 0)  # all, where none varies
    unit = np.maximum(sd[use] if each else np.sqrt(np.square(sd).mean()), 1e-12)
    return lambda x: ((x[:, use] - mean[use]) / unit).astype(np.float64)


def gram(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, m): the kernel of features x (n, d) and y (m, d)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


class _Mean:
    """The mean of a Gram matrix, within a sample without its diagonal, and leave-one-out means."""

    def __init__(self, k: np.ndarray, within: bool) -> None:
        if within:
            k = k - np.diag(np.diag(k))
        n, m = k.shape
        total, rows = k.sum(), k.sum(1)
        self.value = total / (n * (n - 1) if within else n * m)
        if within:
            self.without_row = (total - 2 * rows) / ((n - 1) * (n - 2))
        else:
            self.without_row = (total - rows) / ((n - 1) * m)
            self.without_column = (total - k.sum(0)) / (n * (m - 1))


def kernel_distance(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(distance, standard error) of samples x to real y."""
    xx, yy, xy = _Mean(gram(x, x), True), _Mean(gram(y, y), True), _Mean(gram(x, y), False)
    value = xx.value + yy.value - 2 * xy.value
    without_x = xx.without_row + yy.value - 2 * xy.without_row
    without_y = xx.value + yy.without_row - 2 * xy.without_column
    return float(value), float(np.sqrt(jackknife(without_x) ** 2 + jackknife(without_y) ** 2))


def kernel_contrast(first, first_error, second, second_error):
    """((D - D') / (D + D') of two distances to the same real images, its standard error),
    elementwise: from -1, where the first is 0, to 1.

    The two share the real images, in a way that their errors do not tell: the sum of both parts
    bounds the error. NaN where the sum of the distances is within two errors of 0, for then there
    is nothing to compare.
    """
    total = np.where(first + second > 2 * (first_error + second_error), first + second, np.nan)
    error = 2 * (np.abs(second) * first_error + np.abs(first) * second_error) / total**2
    return (first - second) / total, error


def classifier(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """(balanced accuracy less 1/2, its standard error), by cross-validation."""
    both, label = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)])
    order = rng.permutation(len(both))
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    said = cross_val_predict(model, both[order], label[order], cv=5)
    right = said == label[order]
    of_x, of_y = right[label[order] == 0], right[label[order] == 1]
    accuracy = (of_x.mean() + of_y.mean()) / 2
    return float(accuracy - 0.5), float(np.hypot(std_err(of_x), std_err(of_y)) / 2)


def neighbours(x: np.ndarray, y: np.ndarray) -> dict[str, tuple[float, float]]:
    """precision, recall, density and coverage, each with its standard error over images."""

    def radii(v: np.ndarray) -> np.ndarray:
        return NearestNeighbors(n_neighbors=K + 1).fit(v).kneighbors(v)[0][:, -1]

    rx, ry = radii(x), radii(y)
    square = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    distance = np.sqrt(np.maximum(square, 0))  # (n, m)
    inside = {
        "precision": (distance < ry).any(1),
        "recall": (distance.T < rx).any(1),
        "density": (distance < ry).sum(1) / K,
        "coverage": distance.min(0) < ry,
    }
    return {name: (float(v.mean()), std_err(v.astype(float))) for name, v in inside.items()}


def copies(x: np.ndarray, y: np.ndarray, train: np.ndarray) -> tuple[float, float]:
    """(share of copies, its standard error), in pixels; at most NEAREST if none is copied."""
    index = NearestNeighbors(n_neighbors=1).fit(train)
    usual = np.quantile(index.kneighbors(y)[0], NEAREST)
    near = (index.kneighbors(x)[0][:, 0] < usual).astype(float)
    return float(near.mean()), std_err(near)
