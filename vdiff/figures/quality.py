"""How good the samples of each arm are: a panel per measure, a row per space of features."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from vdiff.figures import curves, style
from vdiff.stats.intervals import Z95

PANELS = {
    "kernel": "kernel distance",
    "sliced_wasserstein": "sliced Wasserstein",
    "classifier": "classifier's accuracy - 1/2",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
}
SPACES = ("classes", "turns", "random", "texture", "components")


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema quality. Bars are 95% intervals; pixels are in the table."""
    frame = curves.of_experiment(inputs[0], "quality", experiment)
    frame = frame[frame["seed"] == frame["seed"].min()]
    frame = frame[frame["iteration"] == frame.groupby("arm")["iteration"].transform("max")]
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 3.6), sharey=True)
    arms = style.looks(frame["arm"])
    spaces = [space for space in SPACES if space in set(frame["space"])]
    for ax, (name, title) in zip(axes.flat, PANELS.items(), strict=True):
        for k, (arm, look) in enumerate(arms.items()):
            part = frame[(frame["arm"] == arm) & (frame["measure"] == name)].set_index("space")
            part = part.loc[spaces]
            rows = [j + 0.18 * (k - (len(arms) - 1) / 2) for j in range(len(spaces))]
            ax.errorbar(
                part["value"], rows, xerr=Z95 * part["std_err"], ls="", marker=look.marker, ms=3.5,
                color=look.color, capsize=1.5, label=style.label(arm),
            )  # fmt: skip
        if name == "kernel":  # of one space it can be a hundred times that of the others
            values = frame[(frame["measure"] == name) & frame["space"].isin(spaces)]["value"]
            usual = 10.0 ** math.ceil(math.log10(float(values.abs().median()) or 1))
            if (values > 0).all():
                ax.set_xscale("log")
            else:
                ax.set_xscale("symlog", linthresh=usual)
        better = "higher" if name in ("precision", "recall", "coverage") else "lower"
        ax.set(title=title, xlabel=f"{better} is better")
        ax.set_yticks(range(len(spaces)), spaces)
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(arms), frameon=False)
    return figure
