"""Figure 5: 2-D histograms of the lambda family along its way, one row per λ.

As in the paper: jet colours, no ticks, each panel scaled to its own maximum. Jet is neither
uniform nor colour-blind safe; it is kept here alone, to be set beside the published figure.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize

from vdiff.errors import VdiffError
from vdiff.figures import style
from vdiff.files.tidy import read_npz

GAP = 0.04  # between two panels, of a panel's side


def draw(
    inputs: Sequence[Path],
    columns: Sequence[int] | None = None,
    lmbds: Sequence[float] | None = None,
    experiment: str | None = None,
):
    """inputs: one NPZ per λ (lmbd, extent, step_NNNNN counts), drawn in the given order."""
    arrays = [read_npz(path, "lmbd", "extent") for path in inputs]
    if lmbds is not None:
        arrays = [a for v in lmbds for a in arrays if float(a["lmbd"]) == v]
    steps = columns or sorted(int(k.removeprefix("step_")) for k in arrays[0] if k[:4] == "step")
    missing = [i for i in steps if f"step_{i:05d}" not in arrays[0]]
    if missing:
        raise VdiffError(f"{inputs[0]} has no step {missing[0]}; ask trajectory for that column.")
    width = style.PAGE
    side = width / (len(steps) + 0.6)
    height = side * len(arrays) + 0.25
    figure, ax = plt.subplots(figsize=(width, height), layout="none")
    figure.subplots_adjust(left=0.6 * side / width, right=1, bottom=0, top=1 - 0.2 / height)
    panels = [[a[f"step_{i:05d}"] for i in steps] for a in arrays]
    ax.imshow(_mosaic(panels), interpolation="nearest", extent=(0, 1, 0, 1), aspect="auto")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, pad=2, labelsize=7, labeltop=True, labelbottom=False)
    ax.set_xticks(_middles(len(steps)), [f"i = {i}" for i in steps])
    rows = [style.minus(f"λ = {float(a['lmbd']):g}") for a in arrays]
    ax.set_yticks(1 - _middles(len(rows)), rows, rotation=90, va="center")
    return figure


def _middles(n: int) -> np.ndarray:
    """Of n panels on [0, 1] with gaps between, none after the last."""
    return (np.arange(n) + 0.5 / (1 + GAP)) / (n - GAP / (1 + GAP))


def _mosaic(panels: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of counts (n, n) as one picture (H, W, 4), transparent between them: 80 axes of a panel
    each take six times as long to draw."""
    n = len(panels[0][0])
    gap = round(GAP * n)
    size = [k * (n + gap) - gap for k in (len(panels), len(panels[0]))]
    picture = np.zeros((*size, 4))
    for i, row in enumerate(panels):
        for j, counts in enumerate(row):
            top, left = i * (n + gap), j * (n + gap)
            shown = mpl.colormaps["jet"](Normalize()(counts.T[::-1]))
            picture[top : top + n, left : left + n] = shown
    return picture
