"""Test bits/dim against training examples seen, all arms, beside what was published."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from vdiff.figures import curves, style
from vdiff.resources import CURVES_BATCH, CURVES_ON, published_curves, published_values


def draw(inputs: Sequence[Path], experiment: str | None = None, beside: str | None = None):
    """inputs: one CSV of the schema curves; beside: the data set whose published curves, or values
    where there are no curves, are drawn too."""
    frame = curves.of_experiment(inputs[0], "curves", experiment)
    frame = frame[frame["iteration"] > 0]
    names = curves.estimators(frame)
    figure, axes = curves.panels(names, height=2.8)
    for ax, estimator in zip(axes, names, strict=True):
        for arm, look in style.looks(frame["arm"]).items():
            part = frame[(frame["estimator"] == estimator) & (frame["arm"] == arm)]
            curves.line(ax, part, "examples", arm, look)
        _published(ax, beside)
        ax.set(xscale="log", xlabel="training examples seen", title=curves.title(estimator))
        style.plain(ax.xaxis)
    axes[0].set_ylabel("test bpd (bits/dim)")
    handles, labels = axes[0].get_legend_handles_labels()
    notes = ["bands: one standard error over the test set"]
    notes += [style.DOUBT] if frame["doubtful"].any() else []
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=6,
        title="; ".join(notes), title_fontsize=6,
    )  # fmt: skip
    figure.suptitle(_heading(frame["experiment"].iloc[0], beside), fontsize=9)
    return figure


def _heading(experiment: str, beside: str | None) -> str:
    if beside in (None, experiment):
        return experiment
    return f"{experiment}, beside what was published on {beside}"


def _published(ax: plt.Axes, dataset: str | None) -> None:
    """The published curves with their bands, or values as lines across."""
    if dataset == CURVES_ON:
        for debias, part in published_curves().query("iteration > 1").groupby("debias"):
            x, color = part["iteration"] * CURVES_BATCH, style.PAPER[f"debias-{debias}"].color
            ax.plot(x, part["bpd"], color=color, lw=0.6, label=f"published, debias {debias}")
            low, high = (part["bpd"] + sign * part["bpd_std_err"] for sign in (-1, 1))
            ax.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
        return
    values: pd.DataFrame = published_values(dataset)
    for row in values.itertuples():
        label = f"published, debias {row.debias}: {row.bpd:.2f} after {row.examples:,}"
        color = style.PAPER[f"debias-{row.debias}"].color
        ax.axhline(row.bpd, color=color, lw=0.8, ls=":", label=label)
