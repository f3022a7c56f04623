"""The published CIFAR-10 curves, and their overlay on measured ones."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from vdiff.errors import VdiffError
from vdiff.figures import style

COLUMNS = ["debias", "iteration", "bpd", "bpd_std_err"]


def read(path: Path) -> pd.DataFrame:
    """debias, iteration, bpd, bpd_std_err, as workflow/resources has them."""
    try:
        return pd.read_csv(path, comment="#")[COLUMNS]
    except (OSError, KeyError, ValueError) as error:
        raise VdiffError(f"{path} cannot be read as published curves: {error}.") from None


def overlay(ax, frame: pd.DataFrame) -> None:
    """Thin lines in the colours of the settings."""
    for debias, part in frame[frame["iteration"] > 1].groupby("debias"):
        ax.plot(part["iteration"], part["bpd"], color=style.COLOUR[debias], lw=0.5, alpha=0.7)


def draw(inputs: Sequence[Path]):
    frame = read(inputs[0])
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.4))
    for debias, part in frame[frame["iteration"] > 1].groupby("debias"):
        colour, x, y, band = (
            style.COLOUR[debias],
            part["iteration"],
            part["bpd"],
            part["bpd_std_err"],
        )
        ax.plot(x, y, color=colour, ls=style.LINE[debias], label=style.label(debias))
        ax.fill_between(x, y - band, y + band, color=colour, alpha=0.25, lw=0)
    ax.set(xlabel="training iteration", ylabel="test bpd (bits/dim)", title="CIFAR-10, published")
    ax.legend(frameon=False, title="band: one standard error", title_fontsize=6)
    return figure
