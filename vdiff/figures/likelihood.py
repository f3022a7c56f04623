"""The ELBO beside the likelihood of the ODE, on the same test images."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from vdiff.figures import curves, style
from vdiff.stats.tails import doubtful, doubts


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema likelihood. Bars are one standard error over the images."""
    figure, panels = curves.by_experiment(inputs[0], "likelihood", experiment, 2.3, "bits/dim")
    for ax, name, part in panels:
        looks = style.looks(part["arm"])
        order = part["arm"].map({arm: k for k, arm in enumerate(looks)})
        part = part.assign(order=order).sort_values(["order", "seed"])
        for k, row in enumerate(part.itertuples()):
            colour = looks[row.arm].color
            points = (
                ("o", row.bpd_elbo, row.bpd_elbo_std_err),
                ("D", row.bpd_ode, row.bpd_ode_std_err),
            )
            for j, (marker, value, error) in enumerate(points):
                ax.errorbar(
                    k + 0.2 * j - 0.1, value, error, fmt=marker, ms=4, color=colour, capsize=2,
                    mfc="white" if j else colour,
                )  # fmt: skip
                if doubtful(row.k_hat, row.k_most, row.share):
                    ax.plot(k + 0.2 * j - 0.1, value, "o", ms=9, mfc="none", mec=colour, mew=0.8)
        middle = pd.Series(range(len(part))).groupby(part["arm"].to_numpy(), sort=False).mean()
        ax.set_xticks(middle, [style.label(arm).replace(" ", "\n") for arm in middle.index])
        images = int(part["images"].iloc[0])
        ax.set(title=f"{name} ({images} examples)", xlabel="", xlim=(-0.5, len(part) - 0.5))
    handles = [
        plt.Line2D([], [], color="0.5", marker="o", ls="", ms=4, label="negative ELBO, SDE"),
        plt.Line2D(
            [], [], color="0.5", marker="D", ls="", ms=4, mfc="white",
            label="exact, ODE",
        ),
    ]  # fmt: skip
    frame = pd.concat([part for _, _, part in panels])
    title = style.DOUBT if doubts(frame).any() else None
    figure.legend(
        handles=handles,
        title=title,
        title_fontsize=6,
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return figure
