"""Test bits/dim of debias True less debias False, under common images and noise."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from vdiff.figures import curves, style
from vdiff.tidy import read_csv


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema differences; one panel an experiment, first seed."""
    frame = read_csv(inputs[0], "differences")
    if experiment:
        frame = frame[frame["experiment"] == experiment]
    frame = frame[frame["seed"] == frame["seed"].min()]
    names = list(frame["experiment"].unique())
    figure, axes = plt.subplots(1, len(names), figsize=(style.PAGE, 2.3), squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        part = frame[frame["experiment"] == name]
        part = part[part["iteration"] > part["iteration"].max() * 0.15]
        for estimator in curves.estimators(part):
            colour, line = style.ESTIMATOR[estimator]
            d = part[part["estimator"] == estimator].sort_values("iteration")
            x, y, error = d["iteration"], d["difference"], 1.96 * d["std_err"]
            ax.plot(x, y, color=colour, ls=line, label=curves.TITLE[estimator])
            ax.fill_between(x, y - error, y + error, color=colour, alpha=0.2, lw=0)
        ax.axhline(0, color="0.5", lw=0.8)
        ax.set(title=name, xlabel="training iteration")
    axes[0, 0].set_ylabel("bpd of debias True less False\n(bits/dim)")
    axes[0, -1].legend(frameon=False, fontsize=6, title="bands: 95%", title_fontsize=6)
    return figure
