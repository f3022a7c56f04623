"""The forms of score matching along training: one curve up to constants."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vdiff.figures import curves, style
from vdiff.stats.intervals import Z95

FORMS = ("denoising", "implicit", "sliced", "explicit")


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema forms. Bars are 95% intervals."""
    frame = curves.of_experiment(inputs[0], "forms", experiment)
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.PAGE, 2.4))
    there = [name for name in FORMS if name in set(frame["form"])]
    steps = np.unique(frame["iteration"])
    width = float(np.ptp(steps)) or 1.0
    for k, (name, look) in enumerate(zip(there, style.OTHERS, strict=False)):
        part = frame[frame["form"] == name]
        each = {"marker": look.marker, "ms": 3, "color": look.color, "label": name}
        left.plot(part["iteration"], part["value"], ls=look.ls, **each)
        if name == "denoising":
            continue
        shift = 0.025 * width * (k - len(there) / 2)
        right.errorbar(
            part["iteration"] + shift, part["excess"], Z95 * part["excess_std_err"], ls="",
            capsize=1.5, **each,
        )  # fmt: skip
    right.axhline(0, color="0.5", lw=0.8)
    left.set(title=frame["experiment"].iloc[0], ylabel="loss and its constant (nats/dim)")
    right.set(title="over the denoising form", ylabel="bits/dim")
    for ax in (left, right):
        ax.set(xlabel="training iteration", xticks=steps)
        ax.set_xlim(steps.min() - 0.1 * width, steps.max() + 0.1 * width)
    left.legend(frameon=False)
    return figure
