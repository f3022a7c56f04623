"""Bits/dim of training images beside those of test images, along a training.

python benchmarks/overfitting.py RUN_FOLDER ... [--images 512] [--draws 4] [--last]

The first training and the first test images of each, by the efficient estimator, with the standard
error over images and noise. A network that learns its training images by heart has less on those.
"""

import argparse
from pathlib import Path

import torch

from vdiff.loading import model_at
from vdiff.stats.intervals import std_err
from vdiff.steps.opening import open_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--last", action="store_true", help="The last snapshot alone.")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    options = parser.parse_args()
    print("| data | arm | iteration | training images | test images | test minus training |")
    print("|---|---|---|---|---|---|")
    for folder in options.runs:
        model = open_folder(folder, options.data_root)
        n = options.images
        x = [model.data.train_examples()[:n], model.data.test_examples(None)[:n]]
        both, first = torch.cat(x), len(x[0])
        for snapshot in model.snapshots[-1 if options.last else 1 :]:
            found = model_at(model, snapshot).fit().log_prob(both, draws=options.draws)
            z = found.bits_per_dim
            train, test = ((part.mean(), std_err(part)) for part in (z[:first], z[first:]))
            cells = [model.run.experiment, model.run.arm, f"{snapshot.iteration:,}"]
            cells += [f"{mean:.3f} ± {error:.3f}" for mean, error in (train, test)]
            off, error = test[0] - train[0], (train[1] ** 2 + test[1] ** 2) ** 0.5
            print(f"| {' | '.join(cells)} | {off:+.3f} ± {error:.3f} |", flush=True)


if __name__ == "__main__":
    main()
