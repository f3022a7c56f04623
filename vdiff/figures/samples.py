"""Sample grids: one panel per arm, real test images on the right."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vdiff.figures import style
from vdiff.files.tidy import read_npz


def draw(
    inputs: Sequence[Path], experiment: str | None = None, titles: Sequence[str] | None = None
):
    """inputs: one NPZ (samples, test, levels) per panel; titles: their arms, in that order."""
    arrays = [read_npz(path, "samples", "test", "levels") for path in inputs]
    names = [style.label(arm) for arm in titles or ["samples"] * len(arrays)]
    panels = [(name, a["samples"], int(a["levels"])) for name, a in zip(names, arrays, strict=True)]
    panels.append(("test images", arrays[0]["test"], int(arrays[0]["levels"])))
    width = style.PAGE
    figure, axes = plt.subplots(
        1, len(panels), figsize=(width, width / len(panels) + 0.35), squeeze=False
    )
    for ax, (name, images, levels) in zip(axes[0], panels, strict=True):
        ax.imshow(tile(images, levels), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(name)
        ax.set_axis_off()
    if experiment:
        figure.suptitle(f"{experiment}: samples of the reverse SDE", fontsize=9)
    return figure


def tile(images: np.ndarray, levels: int) -> np.ndarray:
    """(N, C, H, W) levels to one picture in [0, 1], with a thin white line between images."""
    n, c, h, w = images.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    gap = 1
    picture = np.ones((rows * (h + gap) - gap, columns * (w + gap) - gap, c))
    for i, image in enumerate(images):
        y, x = divmod(i, columns)
        y, x = y * (h + gap), x * (w + gap)
        picture[y : y + h, x : x + w] = image.transpose(1, 2, 0) / (levels - 1)
    return picture.squeeze(2) if c == 1 else picture
