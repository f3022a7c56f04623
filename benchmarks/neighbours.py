"""Samples of the networks that come with vdiff beside their nearest training images: copies?

    python benchmarks/neighbours.py NAME [--data npz:FILE] [--data-root data] [--count 16]
        [--steps 30] [--figure FILE.png]

Nearest in pixels. The copy test of stats/quality.py: the share of samples that are as near to a
training image as the nearest hundredth of test images; at most 0.01 where none is copied.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import vdiff
from vdiff.data import load
from vdiff.figures.samples import tile
from vdiff.pretrained import about, names
from vdiff.stats.quality import copies


def nearest(x, train):
    """The training image (N, ...) nearest to each of x in pixels."""
    exact = "donot_use_mm_for_euclid_dist"  # the default loses near distances among many rows
    distance = torch.cdist(x.flatten(1).float(), train.flatten(1).float(), compute_mode=exact)
    return train[distance.argmin(1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--data", help="npz:FILE in place of the run's own data.")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--figure", type=Path, default=Path("neighbours.png"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    run, model = about(names()[options.name])["run"], vdiff.load(options.name)
    data = load(options.data or run.dataset, options.data_root, run.training.real)
    x = model.sample(options.count, steps=options.steps)
    flat = [v.flatten(1).numpy().astype(np.float32) for v in (x, data.test[:1000], data.train)]
    share, error = copies(*flat)
    print("| network | samples | as near as a copy | error |")
    print("|---|---|---|---|")
    print(f"| {options.name} | {len(x)} | {share:.3f} | {error:.3f} |")
    panels = {
        "samples": x,
        "nearest training images": nearest(x, data.train),
        "test images": data.test[: len(x)],
    }
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
    for ax, (title, images) in zip(axes, panels.items(), strict=True):
        ax.imshow(tile(images.numpy(), data.levels), cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
        ax.set_axis_off()
    figure.tight_layout()
    figure.savefig(options.figure, dpi=110)


if __name__ == "__main__":
    main()
