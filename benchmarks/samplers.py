"""Samplers side by side: quality and time of 1000 Euler-Maruyama steps against few evaluations.

    python benchmarks/samplers.py results/demo/runs/swissroll/debias-False/seed-0
    python benchmarks/samplers.py results/demo/runs/digits/debias-True/seed-0

Points in the plane: for the trained net of that run folder and for the exact drift of a mixture
of Gaussians, every sampler starts from the same points. Its distance to a large sample of the
data is taken in each of some independent batches; shown are the mean and a 95% t interval. Times
are medians over turns in which all samplers take part in turn.

Images: the kernel distance in learned features of each sampler's images to others that the first
sampler drew, whose own distance to them is 0 in expectation; their distance to test images less
that of those others (the relative test); 95% normal intervals. Times are of all images, once.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from benchmarks.quality import kernel_difference
from vdiff.config import Quality, Sampling, read_run
from vdiff.diffusion.drift import in_float64
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.samplers import sampler_of
from vdiff.diffusion.stepping import noise_of
from vdiff.machine.seeds import generator
from vdiff.stats import quality
from vdiff.stats.distances import sliced_wasserstein
from vdiff.stats.intervals import Z95
from vdiff.steps.opening import open_model
from vdiff.steps.quality import spaces
from vdiff.steps.sample import sample_images

CASES = [  # sampler, grid, steps, lmbd; the first is the paper's
    ("euler_maruyama", "uniform", 1000, 0),
    ("euler_maruyama", "uniform", 40, 0),
    ("exponential", "log_snr", 40, 0),
    ("multistep", "log_snr", 40, 0),
    ("multistep", "log_snr", 25, 0),
    ("multistep", "log_snr", 25, 1),
    ("stochastic_heun", "log_snr", 20, 0),
    ("heun", "quadratic", 20, 1),
    ("adaptive", "uniform", 1, 1),
]
IMAGE_CASES = [
    ("euler_maruyama", "uniform", 1000, 0),
    ("euler_maruyama", "uniform", 300, 0),
    ("euler_maruyama", "uniform", 100, 0),
    ("exponential", "log_snr", 30, 0),
    ("multistep", "log_snr", 30, 0),
    ("multistep", "log_snr", 15, 0),
    ("multistep", "log_snr", 30, 1),
    ("heun", "quadratic", 20, 1),
]


def run(a, sde, sampler, grid, steps, lmbd, n):
    """(points, network evaluations) of one sampler."""
    calls = 0

    def counted(y, s):
        nonlocal calls
        calls += 1
        return a(y, s)

    rng = generator("benchmark")
    x = torch.randn(n, 2, generator=rng, dtype=torch.float64)
    reverse = Reverse(sde, counted, lmbd)
    x = sampler_of(sampler)(reverse, x, grid_of(grid, sde, steps), noise_of(rng), None)
    return x.numpy(), calls


def distance(x, data, batches):
    """Mean and half width of a 95% interval over independent batches."""
    rng = np.random.default_rng(0)
    pairs = zip(np.split(x, batches), np.split(data, batches), strict=True)
    d = np.array([sliced_wasserstein(p, q, rng, 1, 1).distance for p, q in pairs])
    return d.mean(), stats.t.ppf(0.975, batches - 1) * d.std(ddof=1) / batches**0.5


def table(title, a, sde, draw, options):
    n = options.batches * options.batch
    data, again = (draw(n, generator("benchmark data", k)).double().numpy() for k in (0, 1))
    with torch.no_grad():
        found = [run(a, sde, *case, n) for case in CASES]
        seconds = np.zeros((options.turns, len(CASES)))
        for turn in range(options.turns):
            for k, case in enumerate(CASES):
                start = time.perf_counter()
                run(a, sde, *case, options.batch)
                seconds[turn, k] = time.perf_counter() - start
    medians, ratios = np.median(seconds, 0), np.median(seconds[:, :1] / seconds, 0)
    print(f"\n{title}\n")
    print("| sampler | grid | λ | evaluations | W2 to the data | s for a batch | times faster |")
    print("|---|---|---|---|---|---|---|")
    for case, (x, calls), s, ratio in zip(CASES, found, medians, ratios, strict=True):
        mean, half = distance(x, data, options.batches)
        sampler, grid, _, lmbd = case
        print(
            f"| {sampler} | {grid} | {lmbd} | {calls} | {mean:.4f} ± {half:.4f} | {s:.3f} "
            f"| {ratio:.1f} |"
        )
    mean, half = distance(again, data, options.batches)
    print(f"| the data themselves | | | 0 | {mean:.4f} ± {half:.4f} | | |")


def image_table(model, count, feature_steps):
    """Each sampler's images 0 to count - 1 against the first one's next as many."""
    data, labels = model.data, model.data.labels()
    settings = Quality(feature_steps=feature_steps)
    maps = spaces(data.train_examples(), labels and labels[0], data.levels, settings)
    name, space = next(iter(maps.items()))
    real = space(data.test_examples(None))

    def drawn(case, n):
        sampler, grid, steps, lmbd = case
        how = Sampling(sampler=sampler, grid=grid, steps=steps, lmbd=lmbd, count=n, batch_size=250)
        start = time.perf_counter()
        with torch.no_grad():
            images = sample_images(model, model.drift(), how).images
        return space(torch.from_numpy(images)), time.perf_counter() - start

    both, seconds = drawn(IMAGE_CASES[0], 2 * count)
    others = both[count:]
    print(f"\n{model.run.dataset}, {count} images a sampler, features: {name}\n")
    print(
        "| sampler | grid | λ | steps | to the first sampler's | to test images, minus theirs | s |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in IMAGE_CASES:
        x, s = (both[:count], seconds / 2) if case == IMAGE_CASES[0] else drawn(case, count)
        found = quality.kernel_distance(x, others), kernel_difference(x, others, real)
        cells = " | ".join(f"{value:.4f} ± {Z95 * error:.4f}" for value, error in found)
        sampler, grid, steps, lmbd = case
        print(f"| {sampler} | {grid} | {lmbd} | {steps} | {cells} | {s:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--count", type=int, default=1000, help="images a sampler")
    parser.add_argument("--feature-steps", type=int, default=Quality().feature_steps)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = open_model(read_run(options.folder / "run.json"), options.folder / "snapshots.csv")
    if len(model.data.shape) > 1:
        return image_table(model, options.count, options.feature_steps)
    a = in_float64(model.drift())
    table("Learned drift, Swissroll", a, model.sde, model.data.sample, options)
    mixture = Mixture.spiral(model.sde)
    table("Exact drift, mixture of Gaussians", mixture.a, model.sde, mixture.sample, options)


if __name__ == "__main__":
    main()
