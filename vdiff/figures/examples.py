"""Test bits/dim against training examples seen, all arms and what was published."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from vdiff.figures import curves, style
from vdiff.resources import PUBLISHED_BPD


def draw(inputs: Sequence[Path], experiment: str | None = None, dataset: str | None = None):
    """inputs: one CSV of the schema curves; dataset: draw what was published on it.

    Shows the efficient estimator, or the paper's where it is the only one.
    """
    frame = curves.of_experiment(inputs[0], "curves", experiment)
    estimator = curves.estimators(frame)[-1]
    frame = frame[(frame["estimator"] == estimator) & (frame["iteration"] > 0)]
    figure, ax = plt.subplots(figsize=(0.7 * style.PAGE, 2.8))
    for arm, look in style.looks(frame["arm"]).items():
        curves.line(ax, frame[frame["arm"] == arm], "examples", arm, look)
    for row in _published(dataset).itertuples():
        look = style.PAPER[f"debias-{row.debias}"]
        label = f"published, debias {row.debias}: {row.bpd:.2f} after {row.examples:,}"
        ax.axhline(row.bpd, color=look.color, lw=0.8, ls=":", label=label)
    ax.set(xscale="log", xlabel="training examples seen", ylabel="test bpd (bits/dim)")
    ax.set_title(f"{frame['experiment'].iloc[0]}: {curves.title(estimator)}")
    ax.legend(
        frameon=False, fontsize=6, title="band: one standard error over the test set",
        title_fontsize=6, alignment="left",
    )  # fmt: skip
    return figure


def _published(dataset: str | None) -> pd.DataFrame:
    with PUBLISHED_BPD.open() as file:
        frame = pd.read_csv(file, comment="#")
    return frame[frame["dataset"] == dataset]
