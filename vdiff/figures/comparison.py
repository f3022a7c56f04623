"""Paired differences of two results folders against iteration, one panel per experiment."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style
from vdiff.stats.intervals import t95
from vdiff.stats.tails import doubts


def draw(inputs: Sequence[Path]):
    """inputs: one CSV of the schema comparison; the sharpest estimator of each run is shown."""
    figure, panels = curves.by_experiment(
        inputs[0], "comparison", None, 2.3, "first minus second (bits/dim)"
    )
    for ax, _, part in panels:
        looks = style.looks(part["arm"])
        for (arm, seed), run in part.groupby(["arm", "seed"]):
            best = run.groupby("estimator")["std_err"].mean().idxmin()
            d = run[run["estimator"] == best].sort_values("iteration")
            label = style.label(arm) if seed == part["seed"].min() else None
            half = d["std_err"] * d["images"].sub(1).map(t95)
            ax.errorbar(
                d["iteration"], d["difference"], half, ms=2.5, lw=0.8, capsize=1.5,
                label=label, **looks[arm]._asdict(),
            )  # fmt: skip
            style.doubt(ax, d["iteration"], d["difference"], doubts(d), looks[arm].color)
        ax.axhline(0, color="0.5", lw=0.8)
    panels[-1][0].legend(title="bars: 95%", title_fontsize=6, frameon=False)
    return figure
