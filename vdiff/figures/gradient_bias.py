"""What of the ELBO's gradient a time distribution misses, along training."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style
from vdiff.stats.gradients import BIAS_MARGIN
from vdiff.stats.intervals import GROUPS, t95

LAW = {
    "uniform": (style.PAPER["debias-False"].color, "s", "-", "uniform"),
    "debiased_tenfold": ("0.6", "v", ":", "debiased, 10 eps_t"),
    "debiased": (style.PAPER["debias-True"].color, "o", "-", "debiased"),
    "debiased_tenth": ("0.6", "^", ":", "debiased, eps_t / 10"),
}


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema gradient; one panel per experiment. Bars are 95% intervals."""
    figure, panels = curves.by_experiment(
        inputs[0], "gradient", experiment, 2.4, "relative bias of the gradient"
    )
    for ax, _, part in panels:
        part = part[part["arm"] == part["arm"].iloc[0]]
        for law, (colour, marker, line, label) in LAW.items():
            of = part[part["law"] == law].sort_values("iteration")
            error = t95(GROUPS - 1) * of["relative_bias_std_err"]
            ax.errorbar(
                of["iteration"], of["relative_bias"], error, fmt=marker + line, ms=4, lw=1,
                color=colour, capsize=2, label=label,
            )  # fmt: skip
        ax.axhline(BIAS_MARGIN, color="0.3", lw=0.8, ls="--")
        ax.set(yscale="log", ylim=(1e-3, 1.5))
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=4, frameon=False,
        title="dashed: the margin of the claims", title_fontsize=6,
    )  # fmt: skip
    return figure
