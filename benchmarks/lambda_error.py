"""What a wrong drift does to each member of the lambda family, over lambda and over training.

python benchmarks/lambda_error.py RUN_FOLDER [--samples 20000] [--steps 320] [--figure FILE.png]

RUN_FOLDER is a run on the Swissroll, whose true drift is known. Beside the distance of samples to
the data (sliced Wasserstein, its floor taken out, 95%) stands what the drift's error costs in the
bound: (1 - lambda/2)^2 / (1 - lambda) times half the integral of E||a - a*||^2 (docs/claims.md).
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from vdiff.diffusion.drift import in_float64
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.reverse import bound_factor
from vdiff.diffusion.times import Debiased, stratified
from vdiff.figures import style
from vdiff.machine.seeds import generator
from vdiff.stats.distances import above, sliced_wasserstein
from vdiff.stats.distances import std_err as bootstrap_error
from vdiff.stats.intervals import std_err
from vdiff.steps.distances import sample_points
from vdiff.steps.forms import COMPONENTS, ROWS
from vdiff.steps.opening import open_folder
from vdiff.steps.quality import halvings

LMBDS = (-10, -2, 0, 0.5, 0.9, 0.99, 1)


@torch.no_grad()
def drift_error(model, a, n):
    """(half the integral of E||a - a*||^2 ds in nats, its standard error)."""
    sde, rng = model.sde, generator("drift error")
    law, truth = Debiased(sde, model.eps_t), Mixture.spiral(sde, COMPONENTS)
    x, s = model.data.sample(n, rng).double(), law.icdf(stratified(n, rng))
    y = sde.perturb(x, s, torch.randn(x.shape, generator=rng, dtype=torch.float64))
    true = torch.cat([truth.a(*part) for part in zip(y.split(ROWS), s.split(ROWS), strict=True)])
    z = (a(y, s) - true).square().sum(1) / 2 / law.density(s)
    return float(z.mean()), std_err(z.numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=320)
    parser.add_argument("--checkpoints", type=int, default=4)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    model = open_folder(options.run)
    n = options.samples
    data = model.data.sample(n, generator("data")).double().numpy()
    print("| iteration | error of the drift, nats | λ | factor | bound, nats | distance |")
    print("|---|---|---|---|---|---|")
    found = []
    for k in halvings([s.iteration for s in model.snapshots], options.checkpoints):
        snapshot = model.snapshots[k]
        a = in_float64(model.drift(snapshot))
        error, noise = drift_error(model, a, n)
        for lmbd in LMBDS:
            keys = ("lambda error", str(lmbd))
            x = sample_points(model.sde, a, "euler_maruyama", options.steps, lmbd, n, *keys)
            w = sliced_wasserstein(x, data, np.random.default_rng(0), 19, 49)
            off = above(w.distance, w.null_mean)
            half = 1.96 * bootstrap_error(w.distance, w.low, w.high, w.null_mean)
            low, high = (above(w.distance + side * half, w.null_mean) for side in (-1, 1))
            factor = bound_factor(lmbd)
            cells = [snapshot.iteration, f"{error:.3f} ± {noise:.3f}", lmbd, f"{factor:.3g}"]
            cells += [f"{factor * error:.3g}", f"{off:.3f} ({low:.3f} to {high:.3f})"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
            found.append((snapshot.iteration, lmbd, factor * error, off, off - low, high - off))
    if options.figure:
        draw(found, options.figure)


@style.paper()
def draw(found, path):
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.6))
    for look, iteration in zip(style.OTHERS, sorted({row[0] for row in found}), strict=False):
        rows = np.array([row[2:] for row in found if row[0] == iteration and row[1] < 1])
        ax.errorbar(
            rows[:, 0], rows[:, 1], rows[:, 2:].T, ls="", marker=look.marker, color=look.color,
            ms=3.5, capsize=2, label=f"iteration {iteration:,}",
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="(1 - λ/2)² / (1 - λ) · error of the drift (nats)")
    ax.set(ylabel="distance of the laws\n(units of the data)")
    ax.legend(frameon=False)
    style.save(figure, [path])


if __name__ == "__main__":
    main()
