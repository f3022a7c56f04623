"""The training loss against iteration, one panel an experiment."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from vdiff.figures import style
from vdiff.tidy import read_csv


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema train. Each row is a mean over its logging interval."""
    frame = read_csv(inputs[0], "train")
    if experiment:
        frame = frame[frame["experiment"] == experiment]
    names = list(frame["experiment"].unique())
    figure, axes = plt.subplots(1, len(names), figsize=(style.PAGE, 2.2), squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        part = frame[frame["experiment"] == name]
        for (debias, seed), run in part.groupby(["debias", "seed"]):
            first = seed == part["seed"].min()
            ax.plot(
                run["iteration"],
                run["loss"],
                color=style.COLOUR[debias],
                ls=style.LINE[debias],
                lw=0.8,
                label=style.label(debias) if first else None,
            )
        ax.set(xlabel="training iteration", title=name, yscale="log")
        ax.legend(frameon=False)
    axes[0, 0].set_ylabel("DSM loss (nats per example)")
    return figure
