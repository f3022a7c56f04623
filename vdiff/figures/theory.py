"""The paper's identities on a mixture: the gap of the bound, the layers of a VAE, the lambdas."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vdiff.figures import curves, style
from vdiff.stats.intervals import Z95

EXACT, LEARNED = style.OTHERS[0], style.OTHERS[1]
SOURCE = {"exact": ("true drift", EXACT), "learned": ("trained net", LEARNED)}


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema theory. Bars are 95% intervals."""
    frame = curves.of_experiment(inputs[0], "theory", experiment)
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 2.4))
    of = {name: part for name, part in frame.groupby("statement")}
    _gap(axes[0], of["gap"])
    _layers(axes[1], of["layers"])
    _lambdas(axes[2], of["lmbd_bound"])
    return figure


def _gap(ax: plt.Axes, part: pd.DataFrame) -> None:
    c = np.linspace(0, 1.05 * part["setting"].max(), 100)
    last = part.loc[part["setting"].idxmax()]
    ax.plot(c, last["expected"] * (c / last["setting"]) ** 2, "-", color="0.5", label="theory")
    ax.errorbar(
        part["setting"], part["measured"], Z95 * part["std_err"], fmt=EXACT.marker, ms=3.5,
        color=EXACT.color, capsize=2, label="measured",
    )  # fmt: skip
    ax.set(
        title="gap of the bound",
        xlabel="error c of the drift",
        ylabel=style.minus("log q - ELBO (nats)"),
    )
    ax.legend(frameon=False)


def _layers(ax: plt.Axes, part: pd.DataFrame) -> None:
    for source, rows in part.groupby("source"):
        name, look = SOURCE[str(source)]
        ax.plot(rows["setting"], rows["expected"], "-", color="0.5", lw=0.8)
        ax.errorbar(
            rows["setting"], rows["measured"], Z95 * rows["std_err"], fmt=look.marker, ms=3.5,
            color=look.color, capsize=2, label=name,
        )  # fmt: skip
    ax.plot([], [], "-", color="0.5", lw=0.8, label="rate 1/L")
    ax.set(xscale="log", yscale="log", title="infinitely deep VAE")
    ax.set(xlabel="layers L", ylabel="ELBO of 2L minus of L (nats)")
    ax.set_xticks(sorted(set(part["setting"])), [f"{v:.0f}" for v in sorted(set(part["setting"]))])
    style.plain(ax.yaxis)
    ax.minorticks_off()
    ax.legend(frameon=False)


def _lambdas(ax: plt.Axes, part: pd.DataFrame) -> None:
    order = range(len(part))
    ax.plot(order, part["measured"], ls="", marker="D", ms=3.5, color="0.5", label="exact value")
    ax.plot(order, part["expected"], ls="", marker="^", ms=3.5, color=EXACT.color, label="bound")
    ax.vlines(order, part["expected"], part["measured"], color="0.8", lw=0.8, zorder=0)
    ax.set_xticks(order, [style.minus(f"{v:g}") for v in part["setting"]])
    ax.set(title="bound of every λ", xlabel="λ", ylabel="E log p (nats)")
    ax.legend(frameon=False)
