"""Coverage of the nominal 95% intervals of single images, by `log_prob`'s errors on trained nets.

python benchmarks/coverage.py RUN_FOLDER ... [--images 64] [--truth 4096]

The truth of each image is the mean of 4,096 draws; fewer are then picked from them, by stratum.
"""

import argparse
from pathlib import Path

import numpy as np

import vdiff
from vdiff.stats.few import mean_and_error, strata
from vdiff.stats.intervals import Z95

REPEATS = 20


def pick(draws: int, of: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Columns (n, draws) of a table of stratified draws (n, of) that are stratified alike."""
    where = strata(draws)
    block = of // int(where[-1] + 1)
    return where * block + rng.integers(0, block, (n, draws))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--truth", type=int, default=4096)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print("| run | draws | coverage | median error, nats |\n|---|---|---|---|")
    for folder in options.runs:
        model = vdiff.load(folder).fit()
        x = model.test_examples(options.images)
        z = model.draws(x, draws=options.truth, batch_size=1024)
        truth, known_to = mean_and_error(z)
        for draws in (2, 4, 8, 32, 128, 256):
            if draws >= options.truth:
                break
            hits, errors = [], []
            for _ in range(REPEATS):
                few = np.take_along_axis(z, pick(draws, options.truth, len(x), rng), 1)
                mean, error = mean_and_error(few)
                hits.append(np.abs(mean - truth) <= Z95 * np.hypot(error, known_to))
                errors.append(error)
            row = f"{np.mean(hits):.1%} | {np.median(errors):.2f}"
            print(f"| {folder.parent.name} | {draws} | {row} |")


if __name__ == "__main__":
    main()
