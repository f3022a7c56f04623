"""Paired differences of two results folders against iteration, a panel an experiment."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from vdiff.figures import style
from vdiff.tidy import read_csv


def draw(inputs: Sequence[Path]):
    """inputs: one CSV of the schema comparison; the sharpest estimator of each run is shown."""
    frame = read_csv(inputs[0], "comparison")
    names = list(frame["experiment"].unique())
    figure, axes = plt.subplots(1, len(names), figsize=(style.PAGE, 2.3), squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        part = frame[frame["experiment"] == name]
        for (debias, _), run in part.groupby(["debias", "seed"]):
            best = run.groupby("estimator")["std_err"].mean().idxmin()
            d = run[run["estimator"] == best].sort_values("iteration")
            error = 1.96 * d["std_err"]
            ax.errorbar(
                d["iteration"], d["difference"], error, fmt=style.MARKER[debias], ms=2.5, lw=0.8,
                color=style.COLOUR[debias], ls=style.LINE[debias], capsize=1.5,
                label=style.label(debias),
            )  # fmt: skip
        ax.axhline(0, color="0.5", lw=0.8)
        ax.set(title=name, xlabel="training iteration")
    axes[0, 0].set_ylabel("first less second (bits/dim)")
    axes[0, -1].legend(title="bars: 95%", title_fontsize=6, frameon=False)
    return figure
