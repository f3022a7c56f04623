"""The published CIFAR-10 curves."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from vdiff.figures import style
from vdiff.resources import published_curves


def draw(inputs: Sequence[Path] = ()):
    """inputs: one CSV of published curves; without it those of the package."""
    frame = published_curves(*inputs[:1])
    figure, ax = plt.subplots(figsize=(style.COLUMN, 2.4))
    for debias, part in frame[frame["iteration"] > 1].groupby("debias"):
        look = style.PAPER[f"debias-{debias}"]
        x, y, band = part["iteration"], part["bpd"], part["bpd_std_err"]
        ax.plot(x, y, color=look.color, ls=look.ls, label=style.label(f"debias-{debias}"))
        ax.fill_between(x, y - band, y + band, color=look.color, alpha=0.25, lw=0)
    ax.set(xlabel="training iteration", ylabel="test bpd (bits/dim)", title="CIFAR-10, published")
    ax.legend(frameon=False, title="band: one standard error", title_fontsize=6)
    return figure
