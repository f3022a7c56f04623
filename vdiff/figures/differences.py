"""Test bits/dim of debias True less debias False, under common images and noise."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema differences; one panel an experiment, first seed."""
    figure, panels = curves.by_experiment(
        inputs[0], "differences", experiment, 2.3, "bpd of debias True less False\n(bits/dim)"
    )
    for ax, _, part in panels:
        part = part[part["seed"] == part["seed"].min()]
        part = part[part["iteration"] > part["iteration"].max() * 0.15]
        for estimator in curves.estimators(part):
            colour, line = style.ESTIMATOR[estimator]
            d = part[part["estimator"] == estimator].sort_values("iteration")
            x, y, error = d["iteration"], d["difference"], 1.96 * d["std_err"]
            ax.plot(x, y, color=colour, ls=line, label=curves.TITLE[estimator])
            ax.fill_between(x, y - error, y + error, color=colour, alpha=0.2, lw=0)
        ax.axhline(0, color="0.5", lw=0.8)
    lines, names = panels[-1][0].get_legend_handles_labels()
    names = [f"{name}, 95%" for name in names]
    figure.legend(lines, names, loc="outside upper center", ncols=2, frameon=False)
    return figure
