"""The power of the measures of sample quality, on faults that are known.

    python benchmarks/quality.py [--dataset mnist] [--data-root DIR] [--n 1000] [--repeats 50]

Real images take the place of samples: n with a fault, n without, n to compare them with, drawn
afresh each time. Faults are a blur of half a pixel, 5% copies of training images, a missing class
(without labels a cluster of principal components, of ten) and noise of 2 grey levels. Shown is how
often a one-sided test at 5% finds each: for distances the relative test of faulty against sound,
for copies the difference of their shares.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from scipy.ndimage import gaussian_filter
from sklearn.cluster import KMeans

from vdiff.config import Quality
from vdiff.data import load
from vdiff.stats import quality
from vdiff.stats.intervals import jackknife
from vdiff.stats.quality import gram
from vdiff.steps.quality import spaces

ALPHA = 0.05


def faulty(name: str, x: np.ndarray, others: np.ndarray, train: np.ndarray, levels: int, rng):
    """n images x (n, C, H, W) with a fault; others: as many of all classes but one."""
    if name == "none":
        return x
    if name == "blur of half a pixel":
        soft = gaussian_filter(x.astype(float), (0, 0, 0.5, 0.5), mode="nearest")
        return soft.round().astype(np.uint8)
    if name == "5% copies":
        k = rng.random(len(x)) < 0.05
        return np.where(k[:, None, None, None], train[rng.integers(len(train), size=len(x))], x)
    if name == "one class missing":
        return others
    noise = rng.integers(-2, 3, x.shape)
    return (x.astype(int) + noise).clip(0, levels - 1).astype(np.uint8)


FAULTS = ("none", "blur of half a pixel", "5% copies", "one class missing", "noise of 2 levels")


def kernel_difference(first: np.ndarray, second: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(distance of first minus that of second, its standard error), to the same real y: the
    relative test of Bounliphone et al. (arXiv 1511.04581), with a jackknife for its variance."""
    (a, without_a, a_without_y), (b, without_b, b_without_y) = (
        _part(x, y) for x in (first, second)
    )
    parts = (without_a, without_b, a_without_y - b_without_y)
    return float(a - b), float(np.sqrt(sum(jackknife(v) ** 2 for v in parts)))


def _part(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """What of the distance depends on x; it without each of x; and, up to a constant, of y."""
    xx, xy = gram(x, x), gram(x, y)
    np.fill_diagonal(xx, 0)
    n, m = xy.shape
    without_x = (xx.sum() - 2 * xx.sum(1)) / ((n - 1) * (n - 2))
    without_x -= 2 * (xy.sum() - xy.sum(1)) / ((n - 1) * m)
    without_y = -2 * (xy.sum() - xy.sum(0)) / (n * (m - 1))
    return xx.sum() / (n * (n - 1)) - 2 * xy.mean(), without_x, without_y


def found(space: str, x, sound, y, train) -> bool:
    """Whether the test of a space finds a fault in features x, with sound and real ones beside."""
    if space == "copies":
        share, error = quality.copies(x, y, train)
        other, wrong = quality.copies(sound, y, train)
        least = max(1 / len(x), np.hypot(error, wrong))
        return bool((share - other) / least > stats.norm.isf(ALPHA))
    value, error = kernel_difference(x, sound, y)
    return bool(value / error > stats.norm.isf(ALPHA))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--feature-steps", type=int, default=Quality().feature_steps)
    options = parser.parse_args()
    data = load(options.dataset, options.data_root)
    settings = Quality(feature_steps=options.feature_steps)
    labels = data.labels()
    maps = spaces(data.train_examples(), labels and labels[0], data.levels, settings)
    rng = np.random.default_rng(0)
    half = len(data.train_examples()) // 2
    train = data.train_examples()[:half].numpy()
    pool = np.concatenate([data.train_examples()[half:].numpy(), data.test_examples(None).numpy()])
    if labels is None:
        flat = maps["components"](torch.from_numpy(pool))
        kind = KMeans(10, n_init=1, random_state=0).fit_predict(flat)
    else:
        kind = torch.cat([labels[0][half:], labels[1]]).numpy()
    copied = maps["pixels"](torch.from_numpy(train[: 20 * options.n]))

    def seen(space: str, images: np.ndarray) -> np.ndarray:
        of = maps["pixels" if space == "copies" else space]
        return of(torch.from_numpy(np.ascontiguousarray(images)))

    tests = [*maps, "copies"]
    counts = {fault: dict.fromkeys(tests, 0) for fault in FAULTS}
    n = min(options.n, len(pool) // 4)
    for _ in range(options.repeats):
        order = rng.permutation(len(pool))
        x, sound, real = (pool[order[k * n : (k + 1) * n]] for k in range(3))
        rest = order[3 * n :]
        others = pool[rest[kind[rest] != 0][:n]]
        beside = {space: (seen(space, sound), seen(space, real)) for space in tests}
        for fault in FAULTS:
            bad = faulty(fault, x, others, train[: 20 * n], data.levels, rng)
            for space in tests:
                counts[fault][space] += found(space, seen(space, bad), *beside[space], copied)
    print(f"{options.dataset}, n = {n}, {options.repeats} repeats: share found at 5%")
    print(f"| fault | {' | '.join(tests)} |")
    print(f"|---|{'---|' * len(tests)}")
    for fault, row in counts.items():
        print(f"| {fault} | {' | '.join(f'{v / options.repeats:.2f}' for v in row.values())} |")


if __name__ == "__main__":
    main()
