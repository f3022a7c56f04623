"""Figure 5: 2-D histograms of the lambda family along its way, one row per λ.

As in the paper: jet colours, no ticks, each panel scaled to its own maximum. Jet is neither
uniform nor colour-blind safe; it is kept here alone, to be set beside the published figure.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vdiff.errors import VdiffError
from vdiff.figures import style
from vdiff.files.tidy import read_npz


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
    figure, axes = plt.subplots(
        len(arrays),
        len(steps),
        figsize=(width, side * len(arrays) + 0.25),
        squeeze=False,
        layout="none",
        gridspec_kw={"wspace": 0.04, "hspace": 0.04},
    )
    height = figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.6 * side / width, right=1, bottom=0, top=1 - 0.2 / height)
    for row, a in zip(axes, arrays, strict=True):
        for ax, i in zip(row, steps, strict=True):
            _panel(ax, a[f"step_{i:05d}"], float(a["extent"]))
        row[0].set_ylabel(f"λ = {float(a['lmbd']):g}", fontsize=7)
    for ax, i in zip(axes[0], steps, strict=True):
        ax.set_title(f"i = {i}", fontsize=7, pad=2)
    return figure


def _panel(ax, counts: np.ndarray, extent: float) -> None:
    limits = (-extent, extent, -extent, extent)
    ax.imshow(counts.T, "jet", interpolation="nearest", origin="lower", extent=limits)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
