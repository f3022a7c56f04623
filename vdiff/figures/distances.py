"""Distance of samples to the data against the number of steps, one line per λ."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from vdiff.figures import style
from vdiff.figures.curves import of_experiment

SOURCES = {"exact": "exact drift, mixture of Gaussians", "learned": "learned drift, Swissroll"}
MARKERS = "osD^vP*X<>"


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema distances."""
    frame = of_experiment(inputs[0], "distances", experiment)
    sources = [s for s in SOURCES if s in set(frame["source"])]
    samplers = list(dict.fromkeys(frame["sampler"]))
    lmbds = sorted(frame["lmbd"].unique())
    colours = dict(zip(lmbds, sns.color_palette("viridis", len(lmbds)), strict=True))
    size = (style.PAGE, 2.1 * len(sources) + 0.4)
    figure, axes = plt.subplots(
        len(sources), len(samplers), figsize=size, sharex=True, sharey=True, squeeze=False
    )
    floor = frame["null_mean"].median()  # a diverged sampler has a null of its own
    for row, source in zip(axes, sources, strict=True):
        for ax, sampler in zip(row, samplers, strict=True):
            _panel(ax, frame[(frame["source"] == source) & (frame["sampler"] == sampler)], colours)
            ax.axhline(floor, color="0.5", lw=0.8, ls="--")
            ax.set(xscale="log", yscale="log", title=f"{SOURCES[source]}\n{sampler}")
            ax.set_ylim(floor / 3, 2)  # a diverged sampler leaves the panel
        row[0].set_ylabel("sliced Wasserstein distance\n(units of the data)")
    for ax in axes[-1]:
        ax.set_xlabel("number of steps")
    handles = [
        plt.Line2D([], [], color=colours[v], marker=MARKERS[k % len(MARKERS)], ms=4, lw=0.9)
        for k, v in enumerate(lmbds)
    ]
    figure.legend(handles, [f"λ = {v:g}" for v in lmbds], loc="outside right", frameon=False)
    figure.suptitle(
        "dashed: level of equal distributions; open markers: equality not rejected at 5%",
        fontsize=7,
    )
    return figure


def _panel(ax, frame: pd.DataFrame, colours: dict) -> None:
    """One line per λ with its interval; open markers where equal laws are not rejected."""
    for k, (lmbd, colour) in enumerate(colours.items()):
        line = frame[frame["lmbd"] == lmbd].sort_values("steps")
        x, y = line["steps"], line["distance"]
        ax.plot(x, y, color=colour, lw=0.9, label=f"λ = {lmbd:g}")
        low = np.maximum(line["low"], y / 50)
        ax.fill_between(x, low, line["high"], color=colour, alpha=0.15, lw=0)
        for equal, face in ((False, colour), (True, "white")):
            points = line[(line["p_value"] > 0.05) == equal]
            mark = {"marker": MARKERS[k % len(MARKERS)], "ls": "", "ms": 4}
            ax.plot(points["steps"], points["distance"], mec=colour, mfc=face, **mark)
