"""Figure 1: sample paths of three generative SDEs from the prior to the data.

A row for the run's own data and one for the mixture; grey points are the data. Colour is time, in
an order that any eye sees; the marks are where a path begins and where it ends.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection

from vdiff.figures import curves, style
from vdiff.files.tidy import read_npz

CASES = {
    "ode": r"neural ODE, $\sigma = 0$",
    "pair": r"learned inference, $\sigma = {sigma:g}$",
    "plug_in": r"plug-in reverse SDE, $\sigma = g$",
}
COLOURS = "viridis_r"


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: the NPZ of the step inference, and a CSV of its schema."""
    arrays = read_npz(inputs[0], "sigma", "data data", "mixture data")
    frame = curves.of_experiment(inputs[1], "inference", experiment)
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 4.4), sharex="row", sharey="row")
    names = {"data": experiment or "data", "mixture": "mixture"}
    for row, (source, shown) in zip(axes, names.items(), strict=True):
        part = frame[frame["source"] == source].set_index("statement")
        data = arrays[f"{source} data"]
        side = 1.25 * np.abs(data).max()
        for ax, (case, title) in zip(row, CASES.items(), strict=True):
            ax.plot(*data.T, ".", ms=2, color="0.55", alpha=0.6, mew=0, zorder=0)
            _paths(ax, arrays[f"{source} {case}"], arrays[f"{source} {case} times"])
            ax.set(xlim=(-side, side), ylim=(-side, side), aspect="equal")
            ax.set_xlabel(_value(part.loc[case], "=" if case == "ode" else "≥"))
            if source == "data":
                ax.set_title(title.replace("{sigma:g}", f"{float(arrays['sigma']):g}"))
        row[0].set_ylabel(f"{shown} (its own units)\ndata: {_density(part.loc['ode'])}")
    axes[0, 0].legend(frameon=True, loc="upper left", handletextpad=0.1, borderpad=0.2)
    figure.colorbar(
        ScalarMappable(cmap=COLOURS), ax=axes, label="time t / T, from prior to data", shrink=0.6
    )
    return figure


def _paths(ax: plt.Axes, states: np.ndarray, times: np.ndarray) -> None:
    """states (L + 1, n, 2), times (L + 1,) from 0 to 1."""
    for path in states.transpose(1, 0, 2):
        pieces = np.stack([path[:-1], path[1:]], 1)
        lines = LineCollection(list(pieces), array=times[1:], cmap=COLOURS, lw=0.6, alpha=0.8)
        ax.add_collection(lines)
    ink = plt.rcParams["text.color"]
    first, last = style.OTHERS[2].color, style.OTHERS[3].color
    ax.plot(*states[0].T, "o", ms=4, mfc=first, mec=ink, mew=0.5, label="prior", zorder=3)
    ax.plot(*states[-1].T, "D", ms=4, mfc=last, mec=ink, mew=0.5, label="sample", zorder=3)


def _value(row: pd.Series, sign: str) -> str:
    value = f"{row['measured']:.2f} ± {row['measured_std_err']:.2f} nats"
    return style.minus(f"E log p {sign} {value}")


def _density(row: pd.Series) -> str:
    known = pd.notna(row["expected"])
    value = style.minus(f"E log q = {row['expected']:.2f} nats")
    return value if known else "density unknown"
