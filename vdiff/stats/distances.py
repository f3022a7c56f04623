"""Two-sample distances, with a permutation test and bootstrap intervals.

Energy distance (Szekely and Rizzo): D^2 = 2 E|X - Y| - E|X - X'| - E|Y - Y'|, zero if and only
if the laws agree; estimated without bias, so it can come out negative. Sliced Wasserstein: the
root mean square over directions of the 1-D distances W_2. Both in units of the data.
x (n, d), y (m, d) float arrays; randomness is a numpy Generator.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

ROWS = 256  # of distances at once in float64: they stay in the cache


@dataclass(frozen=True)
class Compared:
    """value: the distance; low, high: its bootstrap 95% interval; p_value: of equal laws;
    null_mean: the mean distance under relabelling, the floor that samples of this size have.
    """

    value: float
    low: float
    high: float
    p_value: float
    null_mean: float


def energy(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, permutations: int, resamples: int
) -> Compared:
    """Squared energy distance D^2. Resampling is expressed by weights; pairs of copies of one point
    are excluded.
    """
    n, m = len(x), len(y)
    both = np.concatenate([x, y]).astype(np.float32)
    D = np.empty((n + m, n + m), np.float32)
    for k in range(0, n + m, ROWS):
        D[k : k + ROWS] = cdist(both[k : k + ROWS], both)
    all_D = D.sum(1, keepdims=True)

    def value(v: np.ndarray, Dv: np.ndarray, w: np.ndarray, Dw: np.ndarray) -> np.ndarray:
        """v, w (n + m, R) weights of the two samples, R columns at once; and their products."""
        xy = (v * Dw).sum(0) / (v.sum(0) * w.sum(0))
        xx = (v * Dv).sum(0) / (v.sum(0) ** 2 - (v**2).sum(0))
        yy = (w * Dw).sum(0) / (w.sum(0) ** 2 - (w**2).sum(0))
        return (2 * xy - xx - yy).astype(np.float64)

    first = np.zeros((n + m, 1), np.float32)
    first[:n] = 1

    def split(v: np.ndarray) -> np.ndarray:
        Dv = D @ v
        return value(v, Dv, 1 - v, all_D - Dv)

    observed = float(split(first)[0])
    null = split(rng.permuted(np.repeat(first, permutations, 1), axis=0))
    v, w = np.zeros((2, n + m, resamples), np.float32)
    v[:n] = rng.multinomial(n, np.full(n, 1 / n), resamples).T
    w[n:] = rng.multinomial(m, np.full(m, 1 / m), resamples).T
    boot = value(v, D[:, :n] @ v[:n], w, D[:, n:] @ w[n:])
    return _compared(observed, null, boot)


def sliced_wasserstein(
    x: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
    permutations: int,
    resamples: int,
    directions: int = 32,
) -> Compared:
    """W_2 over evenly spread (d = 2) or random directions; x and y of equal size."""
    d = x.shape[1]
    if d == 2:
        angle = np.pi * np.arange(directions) / directions
        u = np.stack([np.cos(angle), np.sin(angle)])
    else:
        u = rng.standard_normal((d, directions))
        u /= np.linalg.norm(u, axis=0)
    n = len(x)
    both = np.concatenate([x @ u, y @ u]).T
    # Any choice from sorted numbers is sorted, so they are sorted once.
    order = np.argsort(both, 1)
    ordered = np.take_along_axis(both, order, 1)

    def value(p: np.ndarray, q: np.ndarray) -> float:
        return float(np.sqrt(np.square(p - q).mean()))

    def relabelled(first: np.ndarray) -> float:
        chosen = first[order]
        return value(ordered[chosen], ordered[~chosen])

    def resampled() -> float:
        times = np.zeros((2, 2 * n), int)  # how often each point is drawn
        times[0, :n], times[1, n:] = rng.multinomial(n, np.full(n, 1 / n), 2)
        return value(*(np.repeat(ordered.ravel(), k[order].ravel()) for k in times))

    first = np.arange(2 * n) < n
    null = [relabelled(rng.permuted(first)) for _ in range(permutations)]
    boot = [resampled() for _ in range(resamples)]
    return _compared(relabelled(first), np.array(null), np.array(boot))


def _compared(observed: float, null: np.ndarray, boot: np.ndarray) -> Compared:
    low, high = _basic_interval(observed, boot)
    p = (1 + (null >= observed).sum()) / (1 + len(null))
    return Compared(observed, low, high, float(p), float(null.mean()))


def _basic_interval(observed: float, boot: np.ndarray) -> tuple[float, float]:
    """The bootstrap distribution's spread about its own mean, laid around the estimate.

    Resampling adds its own noise to a distance, so that percentiles would lie too high.
    """
    low, high = np.quantile(boot - boot.mean(), [0.025, 0.975])
    return float(observed + low), float(observed + high)


METRICS = {"energy": energy, "sliced_wasserstein": sliced_wasserstein}


def compare(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, permutations: int, resamples: int
) -> list[dict]:
    """Columns of the schema distances that belong to two samples, a row a metric."""
    rows = []
    for metric, distance in METRICS.items():
        c = distance(x, y, rng, permutations, resamples)
        rows.append(
            {
                "metric": metric,
                "distance": c.value,
                "low": c.low,
                "high": c.high,
                "p_value": c.p_value,
                "null_mean": c.null_mean,
                "samples": len(x),
            }
        )
    return rows
