"""How far samples are from real images along training, beside how far real images are."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import NullLocator

from vdiff.figures import curves, style
from vdiff.stats.intervals import Z95


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema quality; a panel for learned features and one for texture.
    Bars are 95% intervals."""
    frame = curves.of_experiment(inputs[0], "quality", experiment)
    learned = "classes" if "classes" in set(frame["space"]) else "turns"
    figure, axes = curves.panels([learned, "texture"], sharey=False)
    for ax, space in zip(axes, (learned, "texture"), strict=True):
        rows = frame[frame["space"] == space]
        for arm, look in style.looks(frame["arm"]).items():
            of = rows[(rows["arm"] == arm) & (rows["measure"] == "kernel")]
            mean = of.groupby("iteration", as_index=False)[["value", "std_err"]].mean()
            ax.errorbar(
                mean["iteration"], mean["value"], Z95 * mean["std_err"], capsize=2, ms=3,
                label=style.label(arm), **look._asdict(),
            )  # fmt: skip
        real = rows[rows["measure"] == "kernel_of_real"]
        top = (real["value"] + Z95 * real["std_err"]).max()
        top = max(top, 1e-9)
        ax.axhspan(-top, top, color="0.8", lw=0)
        ax.set(xscale="log", xlabel="training iteration", title=f"features: {space}")
        style.plain(ax.xaxis)
        ax.set_yscale("symlog", linthresh=top)  # a distance of 0 has an estimate of either sign
        # The powers of ten next to the linear part would lie over the 0.
        last = math.ceil(math.log10(max(ax.get_ylim()[1], 10 * top)))
        first = math.ceil(math.log10(top)) + 1
        ax.set_yticks([0, *(10.0**k for k in range(first, last + 1, 1 + (last - first) // 5))])
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_ylim(bottom=-2 * top)
    axes[0].set_ylabel("kernel distance to test images")
    axes[0].legend(frameon=False)
    figure.suptitle("grey: as near as training images are (95%)", fontsize=7)
    return figure
