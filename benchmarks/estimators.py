"""ELBO estimators side by side: variance times compute, on trained checkpoints.

    python benchmarks/estimators.py [--data-root DIR] [--images N] [--passes N] RUN_FOLDER ...

Every turn makes one pass over the test images by the paper's estimator and one by the efficient
one, each with fresh noise; so a pass's variance is that of independent repeats, and machine noise
hits both. Shown are the standard deviation of a pass (bits/dim), its median time, the ratio of
variance x time with a 95% interval (F law of the variances), the same with the pilot's time
charged to four passes, and the difference of the means with its standard error.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from vdiff.config import Evaluation, read_run
from vdiff.steps.evaluate import efficient_pass, paper_pass
from vdiff.steps.opening import open_model

CHARGED = 4  # passes that share a pilot


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--passes", type=int, default=40)
    parser.add_argument("--pilot", type=int, default=1024)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| run | sd published | sd efficient | s published | s efficient | variance x time "
          "| 95% | with pilot | difference of means |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for folder in options.folders:
        print(row(folder, options), flush=True)


def row(folder: Path, options) -> str:
    run = read_run(folder / "run.json")
    model = open_model(run, folder / "snapshots.csv", options.data_root)
    a = model.drift()
    settings = Evaluation(images=options.images, pilot=options.pilot)
    first = paper_pass(model, a, settings)
    start = time.perf_counter()
    second = efficient_pass(model, a, settings)
    pilot = time.perf_counter() - start
    means, seconds = np.zeros((2, 2, options.passes))
    for k in range(-1, options.passes):  # one turn to warm up
        for j, one_pass in enumerate((first, second)):
            start = time.perf_counter()
            # Noise keyed apart, so that the two means are independent.
            z, _ = one_pass(k + 1000 * j)
            if k >= 0:
                means[j, k], seconds[j, k] = z.mean(), time.perf_counter() - start
    sd = means.std(1, ddof=1)
    cost = np.median(seconds, 1)
    variance = (sd[0] / sd[1]) ** 2
    ratio = variance * cost[0] / cost[1]
    F = stats.f.ppf([0.975, 0.025], options.passes - 1, options.passes - 1)
    charged = variance * cost[0] / (cost[1] + pilot / CHARGED)
    gap = means.mean(1) @ [1, -1]
    error = np.hypot(*sd) / options.passes**0.5
    name = f"{run.experiment} {run.arm}"
    return (
        f"| {name} | {sd[0]:.4f} | {sd[1]:.4f} | {cost[0]:.3f} | {cost[1]:.3f} | {ratio:.0f} "
        f"| {ratio / F[0]:.0f} to {ratio / F[1]:.0f} | {charged:.0f} | {gap:+.4f} ± {error:.4f} |"
    )


if __name__ == "__main__":
    main()
