"""What the curve figures share: a panel per estimator or experiment, a line per arm."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from vdiff.errors import VdiffError
from vdiff.figures import style
from vdiff.files.tidy import read_csv

TITLE = {"published": "the paper's estimator", "efficient": "efficient estimator"}


def of_experiment(path: Path, schema: str, experiment: str | None) -> pd.DataFrame:
    frame = read_csv(path, schema)
    experiment = experiment or frame["experiment"].iloc[0]
    part = frame[frame["experiment"] == experiment]
    if "fault" in part:
        part = part[part["fault"] == "none"]
    if part.empty:
        raise VdiffError(f"{path} has no rows of the experiment {experiment!r}.")
    return part


def panels(names: Sequence[str], height: float = 2.4, sharey: bool = True):
    """(figure, axes) with one panel per name, axes shared."""
    width = style.COLUMN if len(names) == 1 else style.PAGE
    figure, axes = plt.subplots(
        1, len(names), figsize=(width, height), sharex=True, sharey=sharey, squeeze=False
    )
    return figure, axes[0]


def line(ax: plt.Axes, part: pd.DataFrame, column: str, arm: str, look: style.Look) -> None:
    """One arm of the schema curves against a column, with its band and doubts."""
    x, y, band = part[column], part["bpd"], part["se_test"]
    ax.plot(x, y, ms=2, label=style.label(arm), **look._asdict())
    ax.fill_between(x, y - band, y + band, color=look.color, alpha=0.25, lw=0)
    style.doubt(ax, x, y, part["doubtful"].astype(bool), look.color)


def estimators(frame: pd.DataFrame) -> list[str]:
    """Those of a table: the known ones first, others by their own names."""
    there = list(dict.fromkeys(frame["estimator"]))
    return sorted(there, key=lambda name: list(TITLE).index(name) if name in TITLE else len(TITLE))


def legend_below(figure: plt.Figure, ax: plt.Axes, notes: Sequence[str]) -> None:
    """The arms of a panel under all of them, never over a curve, with notes on bands and rings."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 4), frameon=False,
        title="; ".join(notes) or None, title_fontsize=6,
    )  # fmt: skip


def title(estimator: str) -> str:
    return TITLE.get(estimator, estimator)


def by_experiment(
    path: Path, schema: str, experiment: str | None, height: float, ylabel: str, more: int = 0
) -> tuple[plt.Figure, list[tuple[plt.Axes, str, pd.DataFrame]]]:
    """A table's figure, one panel per experiment, three to a row: (figure, (axes, name, rows));
    more panels without rows follow."""
    frame = of_experiment(path, schema, experiment) if experiment else read_csv(path, schema)
    names = [*frame["experiment"].unique(), *[""] * more]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(style.PAGE, height * rows), squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.remove()
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    panels = []
    for ax, name in zip(axes.flat, names, strict=False):
        ax.set(title=name, xlabel="training iteration")
        panels.append((ax, name, frame[frame["experiment"] == name]))
    return figure, panels
