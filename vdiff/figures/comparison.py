"""Paired differences of two results folders against iteration, a panel an experiment."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style


def draw(inputs: Sequence[Path]):
    """inputs: one CSV of the schema comparison; the sharpest estimator of each run is shown."""
    figure, panels = curves.by_experiment(
        inputs[0], "comparison", None, 2.3, "first less second (bits/dim)"
    )
    for ax, _, part in panels:
        for (debias, seed), run in part.groupby(["debias", "seed"]):
            best = run.groupby("estimator")["std_err"].mean().idxmin()
            d = run[run["estimator"] == best].sort_values("iteration")
            error = 1.96 * d["std_err"]
            ax.errorbar(
                d["iteration"], d["difference"], error, fmt=style.MARKER[debias], ms=2.5, lw=0.8,
                color=style.COLOUR[debias], ls=style.LINE[debias], capsize=1.5,
                label=style.label(debias) if seed == part["seed"].min() else None,
            )  # fmt: skip
        ax.axhline(0, color="0.5", lw=0.8)
    panels[-1][0].legend(title="bars: 95%", title_fontsize=6, frameon=False)
    return figure
