"""Where in time the ELBO estimators have their variance; bias and variance of the gradients."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vdiff.figures import curves, style

LAW = {
    "uniform": (style.PAPER["debias-False"].color, "uniform"),
    "uniform_weighted": ("0.5", "uniform,\nweighted"),
    "debiased": (style.PAPER["debias-True"].color, "debiased"),
}


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: CSVs of the schemas variance_time and gradient, in that order."""
    time = curves.of_experiment(inputs[0], "variance_time", experiment)
    gradient = curves.of_experiment(inputs[1], "gradient", experiment)
    arm = time["arm"].iloc[0]
    time, gradient = (f[f["arm"] == arm] for f in (time, gradient))
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 2.8), width_ratios=[1.5, 1, 1])
    _in_time(axes[0], time)
    _of_laws(axes[1], gradient, "relative_bias", "bias of the gradient, sin∠(E ĝ, G)")
    label = "variance of one batch, tr Cov ĝ / ‖E ĝ‖²"
    _of_laws(axes[2], gradient, "relative_variance", label)
    axes[1].set_ylim(bottom=0)
    axes[2].set_yscale("log")
    iterations = sorted(gradient["iteration"].unique())
    figure.suptitle(
        f"{time['experiment'].iloc[0]}, {style.label(arm)}; gradients at iterations "
        f"{' (filled) and '.join(str(i) for i in iterations)}{' (open)' * (len(iterations) > 1)}, "
        "bars: one standard error",
        fontsize=7,
    )
    return figure


def _in_time(ax, time: pd.DataFrame) -> None:
    """Where in time each estimator has its variance."""
    for estimator, (colour, line) in style.ESTIMATOR.items():
        part = time[time["estimator"] == estimator].sort_values("time_low")
        low = part["time_low"].to_numpy().copy()
        low[0] = part["time_high"].iloc[0] / 3  # the first bin begins at 0
        share = part["variance"].to_numpy() / np.log10(part["time_high"].to_numpy() / low)
        label = f"{curves.title(estimator)}: {part['variance'].sum():.3g}"
        edges = [low[0], *part["time_high"]]
        ax.stairs(share, edges, color=colour, ls=line, lw=1.2, label=label)
    ax.set(xscale="log", yscale="log", xlabel="time s")
    ax.set_ylabel("variance of one draw per decade of s\n(bits/dim)²")
    ax.legend(
        title="total, (bits/dim)²", title_fontsize=6, fontsize=6, frameon=False,
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, alignment="left",
    )  # fmt: skip


def _of_laws(ax, gradient: pd.DataFrame, key: str, label: str) -> None:
    """One column of the table for each law of time, early filled and late open."""
    for k, (law, (colour, _)) in enumerate(LAW.items()):
        part = gradient[gradient["law"] == law].sort_values("iteration")
        x = k + 0.2 * (np.arange(len(part)) - (len(part) - 1) / 2)
        for j, (at, row) in enumerate(zip(x, part.itertuples(), strict=True)):
            value, error = getattr(row, key), getattr(row, f"{key}_std_err")
            if np.isfinite(error):  # otherwise noise drowned it: no measurement
                face = "white" if j else colour
                ax.errorbar(
                    at, value, error, fmt="os"[j % 2], ms=4, color=colour, capsize=2, mfc=face
                )
    ax.set_xticks(range(len(LAW)), [text for _, text in LAW.values()], fontsize=6)
    ax.set_ylabel(label, fontsize=7)
    ax.set_xlim(-0.5, len(LAW) - 0.5)
