"""The gap of the first pair of arms against training, and its change over the last doubling, beside
the published one."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullLocator

from vdiff.figures import curves, style
from vdiff.files.tidy import read_csv
from vdiff.resources import published_curves
from vdiff.stats.course import change, of_published, share_of_passes
from vdiff.stats.evidence import Estimate
from vdiff.stats.intervals import late, t95


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: CSVs of the schemas differences and curves, in that order; one panel per experiment,
    and one of the published curves."""
    figure, panels = curves.by_experiment(
        inputs[0], "differences", experiment, 2.5, "difference in bpd (bits/dim)", more=1
    )
    means = read_csv(inputs[1], "curves")
    for ax, name, part in panels[:-1]:
        first, second = part[["first", "second"]].iloc[0]
        estimator = curves.estimators(part)[-1]
        part = part[(part["first"] == first) & (part["second"] == second)]
        part = part[(part["estimator"] == estimator) & (part["iteration"] > 0)]
        own = means[(means["experiment"] == name) & (means["estimator"] == estimator)]
        share = share_of_passes(own[own["arm"] == first], own[own["arm"] == second])
        for number, seed in part.groupby("seed"):
            error = seed["std_err"] * seed["images"].sub(1).map(t95)
            ax.errorbar(
                seed["iteration"], seed["difference"], error, fmt=".-", ms=3, lw=0.8,
                elinewidth=0.6, color=style.OTHERS[0].color, alpha=0.8,
                label=f"seed {number}",
            )  # fmt: skip
        _course(ax, part, change(part), name, share)
    ax = panels[-1][0]
    theirs = published_curves()
    gap = of_published(theirs)
    ax.plot(gap["iteration"], gap["difference"], "-", lw=0.6, color="0.6", label="published")
    true, false = (theirs[theirs["debias"] == debias] for debias in (True, False))
    moved = change(gap, shared=False)
    _course(ax, gap, moved, "published, CIFAR-10", share_of_passes(true, false))
    figure.suptitle(
        f"{style.label(first)} minus {style.label(second)}; line: means of the last fifth, and of "
        "that had training ended half way; bars 95% over test images",
        fontsize=7,
    )
    return figure


def _course(ax, part, moved: Estimate | None, name: str, share: float) -> None:
    """The means that the change is of, and in words what it is."""
    end, said = part["iteration"].max(), "no checkpoint half way"
    if moved:
        means = [late(part, at)["difference"].mean() for at in (end / 2, end)]
        x = np.array([0.4, 0.5, 0.8, 1]) * end
        ax.plot(x, np.repeat(means, 2), color=plt.rcParams["text.color"], lw=1.4, label="means")
        interval = f"{moved.ours:+.2f} ({moved.low:+.2f} to {moved.high:+.2f})"
        said = f"{style.minus(interval)}, last doubling"
    shown = part[part["iteration"] >= end / 8]["difference"]  # not the start
    ax.set_ylim(1.3 * min(shown.min(), -0.05), 1.3 * max(shown.max(), 0.05))
    ax.axhline(0, color="0.5", lw=0.8)
    passes = "the other's end is never reached"
    if not np.isnan(share):
        passes = f"the other's end at {share:.0%} of its passes"
    ax.set(xscale="log", xlabel="iteration")
    doublings = [end / 2**k for k in range(4)]
    short = [f"{v / 1000:g}k" if v >= 5000 else f"{v:.0f}" for v in doublings]
    ax.set_xticks(doublings, short)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_title(f"{name}\n{said}\n{passes}", fontsize=7)
