"""How far samples are from real images along training, beside how far real images are."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import SymmetricalLogLocator

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
        style.counts(ax)
        ax.set_yscale("symlog", linthresh=top)  # a distance of 0 has an estimate of either sign
        ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=top))
        ax.yaxis.get_major_locator().set_params(numticks=6)
        ax.set_ylim(bottom=-2 * top)
    axes[0].set_ylabel("kernel distance to test images")
    axes[0].legend(frameon=False)
    figure.suptitle("grey: as near as training images are (95%)", fontsize=7)
    return figure
