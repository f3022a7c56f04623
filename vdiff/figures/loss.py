"""The training loss against iteration, one panel an experiment."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema train. Each row is a mean over its logging interval."""
    figure, panels = curves.by_experiment(
        inputs[0], "train", experiment, 2.2, "DSM loss (nats per example)"
    )
    for ax, _, part in panels:
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
        ax.set_yscale("log")
        ax.legend(frameon=False)
    return figure
