"""Test bits/dim of one arm minus another's, under common images and noise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vdiff.figures import curves, style
from vdiff.stats.intervals import t95
from vdiff.stats.tails import doubts


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema differences; one panel per experiment, its first pair of arms
    (others, far apart, would flatten what the figure is about) and first seed."""
    figure, panels = curves.by_experiment(
        inputs[0], "differences", experiment, 2.3, "difference in bpd (bits/dim)"
    )
    handles: dict[str, Any] = {}
    for ax, _, part in panels:
        part = part[part["seed"] == part["seed"].min()]
        part = part[part["iteration"] > part["iteration"].max() * 0.15]
        pair, rows = next(iter(part.groupby(["first", "second"], sort=False)))
        names = " minus ".join(style.label(arm) for arm in pair)
        for estimator in curves.estimators(rows):
            colour, line = style.ESTIMATOR.get(estimator, ("0.5", ":"))
            d = rows[rows["estimator"] == estimator].sort_values("iteration")
            x, y = d["iteration"], d["difference"]
            error = d["std_err"] * d["images"].sub(1).map(t95)
            label = f"{names}, {curves.title(estimator)}, 95%"
            (curve,) = ax.plot(x, y, color=colour, ls=line, label=label)
            ax.fill_between(x, y - error, y + error, color=colour, alpha=0.2, lw=0)
            style.doubt(ax, x, y, doubts(d), colour)
            handles.setdefault(label, curve)
        ax.axhline(0, color="0.5", lw=0.8)
    title = style.DOUBT if any(doubts(part).any() for _, _, part in panels) else None
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", frameon=False,
        title=title, title_fontsize=6,
    )  # fmt: skip
    return figure
