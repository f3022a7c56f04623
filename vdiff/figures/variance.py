"""Where in time the ELBO estimators have their variance; bias and variance of the gradients."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vdiff.figures import curves, style

LAW = {
    "uniform": (style.PAPER["debias-False"].color, "s", "uniform"),
    "uniform_weighted": ("0.5", "D", "uniform, weighted"),
    "debiased": (style.PAPER["debias-True"].color, "o", "debiased"),
    "unbiased": ("0.2", "P", "debiased, weighted below eps_t"),
    "fitted": (style.OTHERS[0].color, "^", "fitted"),
    "best": (style.OTHERS[1].color, "*", "least attainable"),
}


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: CSVs of the schemas variance_time and gradient, in that order."""
    time = curves.of_experiment(inputs[0], "variance_time", experiment)
    gradient = curves.of_experiment(inputs[1], "gradient", experiment)
    arm = time["arm"].iloc[0]
    time, gradient = (f[f["arm"] == arm] for f in (time, gradient))
    iterations = sorted(gradient["iteration"].unique())
    n = len(iterations)
    figure, axes = plt.subplots(
        1, 1 + n, figsize=(style.PAGE, 3.1), width_ratios=[1.4, *[1] * n], squeeze=False
    )
    _in_time(axes[0, 0], time)
    for ax, iteration in zip(axes[0, 1:], iterations, strict=True):
        _of_laws(ax, gradient[gradient["iteration"] == iteration])
        ax.set_title(f"iteration {iteration:,}")
    axes[0, 1].set_ylabel("variance per example, tr Cov ĝ / ‖E ĝ‖²")
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=6)
    figure.suptitle(
        f"{time['experiment'].iloc[0]}, {style.label(arm)}: noise of the bound (left), and of "
        "training gradients ĝ against their bias (right; G: the bound's gradient,\n"
        "one point for each time distribution; filled: independent times, open: evenly spread)",
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


def _of_laws(ax, gradient: pd.DataFrame) -> None:
    """Bias against variance, a point per law; the least variance without bias as a line."""
    for law, (colour, marker, text) in LAW.items():
        for row in gradient[gradient["law"] == law].itertuples():
            for column, face in (("relative_variance", colour), ("spread_variance", "none")):
                y, error = getattr(row, column), getattr(row, f"{column}_std_err")
                if not np.isfinite(error):  # noise drowned it: no measurement
                    continue
                ax.errorbar(
                    row.relative_bias, y, error, row.relative_bias_std_err, fmt=marker, ms=5,
                    color=colour, mfc=face, lw=0.8, capsize=1.5,
                    label=text if face == colour else None,
                )  # fmt: skip
            if law == "best" and np.isfinite(row.spread_variance):
                ax.axhline(row.spread_variance, color=colour, lw=0.8, ls=":")
    ax.set(yscale="log", xlabel="bias, sin∠(Eĝ, G)")
    ax.locator_params(axis="x", nbins=3)
    ax.set_xlim(left=-0.03)
