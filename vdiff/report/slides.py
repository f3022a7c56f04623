"""One strip of pictures for each λ, for the slider of the page: the stored histograms, small."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vdiff.files.tidy import read_npz

SIDE, COLUMNS = 64, 8  # pixels of a histogram, histograms of a strip


def strips(paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    """(λ in words, PNG) of trajectory files (lmbd, steps, frames), by λ; those that are there."""
    images = []
    for path in paths:
        if path.is_file() and "frames" in (arrays := read_npz(path, "lmbd")):
            images.append((float(arrays["lmbd"]), _strip(arrays["frames"])))
    return [(f"{lmbd:g}", png) for lmbd, png in sorted(images)]


def _strip(frames: np.ndarray) -> bytes:
    """Of counts (K, bins, bins); each histogram is scaled to its own maximum, as in figure 5."""
    from vdiff.figures.backend import mpl

    picked = frames[np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int)].astype(float)
    block = max(frames.shape[1] // SIDE, 1)
    side = frames.shape[1] // block
    picked = picked[:, : side * block, : side * block]
    small = picked.reshape(len(picked), side, block, side, block).sum((2, 4))
    small /= np.maximum(small.max((1, 2), keepdims=True), 1)
    row = np.concatenate([panel.T[::-1] for panel in small], axis=1)  # y goes up
    picture = Image.fromarray((255 * row).round().astype(np.uint8), "P")
    colours = (255 * mpl.colormaps["viridis"](np.arange(256))[:, :3]).round().astype(np.uint8)
    picture.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
