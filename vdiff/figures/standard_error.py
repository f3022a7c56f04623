"""The standard error of the test bits/dim against iteration."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema curves."""
    frame = curves.of_experiment(inputs[0], "curves", experiment)
    names = curves.estimators(frame)
    figure, axes = curves.panels(names)
    for ax, estimator in zip(axes, names, strict=True):
        for arm, look in style.looks(frame["arm"]).items():
            part = frame[(frame["estimator"] == estimator) & (frame["arm"] == arm)]
            x, y = part["iteration"], part["se_test"]
            ax.plot(x, y, ms=2, label=style.label(arm), **look._asdict())
            style.doubt(ax, x, y, part["doubtful"].astype(bool), look.color)
        ax.set(xlabel="training iteration", title=curves.title(estimator))
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("standard error of test bpd (bits/dim)")
    curves.legend_below(figure, axes[-1], [style.DOUBT] if frame["doubtful"].any() else [])
    name = frame["experiment"].iloc[0]
    figure.suptitle(f"{name}: standard error over the test set", fontsize=9)
    return figure
