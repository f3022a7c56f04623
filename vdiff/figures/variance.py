"""Where in time the ELBO estimators have their variance; bias and variance of the gradients."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

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
    for estimator, (colour, line) in style.ESTIMATOR.items():
        part = time[time["estimator"] == estimator].sort_values("time_low")
        low = part["time_low"].to_numpy().copy()
        low[0] = part["time_high"].iloc[0] / 3  # the first bin begins at 0
        share = part["variance"].to_numpy() / np.log10(part["time_high"].to_numpy() / low)
        total = part["variance"].sum()
        axes[0].stairs(
            share, [low[0], *part["time_high"]], color=colour, ls=line, lw=1.2,
            label=f"{curves.TITLE[estimator]}: {total:.3g}",
        )  # fmt: skip
    axes[0].set(xscale="log", yscale="log", xlabel="time s")
    axes[0].set_ylabel("variance of one draw per decade of s\n(bits/dim)²")
    axes[0].legend(
        title="total, (bits/dim)²", title_fontsize=6, fontsize=6, frameon=False,
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, alignment="left",
    )  # fmt: skip
    iterations = sorted(gradient["iteration"].unique())
    for ax, key, label in (
        (axes[1], "relative_bias", "bias of the gradient, sin∠(E ĝ, G)"),
        (axes[2], "relative_variance", "variance of one batch, tr Cov ĝ / ‖E ĝ‖²"),
    ):
        for k, (law, (colour, _)) in enumerate(LAW.items()):
            part = gradient[gradient["law"] == law].sort_values("iteration")
            x = k + 0.2 * (np.arange(len(part)) - (len(part) - 1) / 2)
            for j, (at, row) in enumerate(zip(x, part.itertuples(), strict=True)):
                value, error = getattr(row, key), getattr(row, f"{key}_std_err")
                if not np.isfinite(error):  # noise drowned it: no measurement
                    continue
                ax.errorbar(
                    at, value, error, fmt="os"[j % 2], ms=4, color=colour, capsize=2,
                    mfc="white" if j else colour,
                )  # fmt: skip
        ax.set_xticks(range(len(LAW)), [text for _, text in LAW.values()], fontsize=6)
        ax.set_ylabel(label, fontsize=7)
        ax.set_xlim(-0.5, len(LAW) - 0.5)
    axes[1].set_ylim(bottom=0)
    axes[2].set_yscale("log")
    figure.suptitle(
        f"{time['experiment'].iloc[0]}, {style.label(arm)}; gradients at iterations "
        f"{' (filled) and '.join(str(i) for i in iterations)}{' (open)' * (len(iterations) > 1)}, "
        "bars: one standard error",
        fontsize=7,
    )
    return figure
