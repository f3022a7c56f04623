"""The training loss against iteration, one panel per experiment."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema train. Each row is a mean over its logging interval."""
    figure, panels = curves.by_experiment(
        inputs[0], "train", experiment, 2.2, "DSM loss (nats per example)"
    )
    for ax, _, part in panels:
        for arm, look in style.looks(part["arm"]).items():
            for k, (_, run) in enumerate(part[part["arm"] == arm].groupby("seed")):
                label = None if k else style.label(arm)
                x, y = run["iteration"], run["loss"]
                ax.plot(x, y, color=look.color, ls=look.ls, lw=0.8, label=label)
        ax.set_yscale("log")
        style.plain(ax.yaxis)
        ax.legend(frameon=False)
    return figure
