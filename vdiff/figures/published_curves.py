"""The published CIFAR-10 curves, and their overlay on measured ones."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from vdiff.errors import VdiffError
from vdiff.figures import style
from vdiff.resources import PUBLISHED

COLUMNS = ["debias", "iteration", "bpd", "bpd_std_err"]


def read(path: Path | None = None) -> pd.DataFrame:
    """debias, iteration, bpd, bpd_std_err of a file like the package's own, the default."""
    try:
        with (path or PUBLISHED).open() as file:
            return pd.read_csv(file, comment="#")[COLUMNS]
    except (OSError, KeyError, ValueError) as error:
        raise VdiffError(f"{path} cannot be read as published curves: {error}.") from None


def overlay(ax, frame: pd.DataFrame) -> None:
    """Thin lines in the colours of the arms."""
    for debias, part in frame[frame["iteration"] > 1].groupby("debias"):
        look = style.PAPER[f"debias-{debias}"]
        ax.plot(part["iteration"], part["bpd"], color=look.color, lw=0.5, alpha=0.7)


def draw(inputs: Sequence[Path] = ()):
    """inputs: one CSV of published curves; without it those of the package."""
    frame = read(*inputs[:1])
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.4))
    for debias, part in frame[frame["iteration"] > 1].groupby("debias"):
        look = style.PAPER[f"debias-{debias}"]
        x, y, band = part["iteration"], part["bpd"], part["bpd_std_err"]
        ax.plot(x, y, color=look.color, ls=look.ls, label=style.label(f"debias-{debias}"))
        ax.fill_between(x, y - band, y + band, color=look.color, alpha=0.25, lw=0)
    ax.set(xlabel="training iteration", ylabel="test bpd (bits/dim)", title="CIFAR-10, published")
    ax.legend(frameon=False, title="band: one standard error", title_fontsize=6)
    return figure
