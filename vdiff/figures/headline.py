"""The story at a glance: the bound by the efficient estimator along training, labelled directly."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style

EARLY = 0.3  # of a training: what lies before is off the scale


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema curves; a panel per experiment."""
    figure, panels = curves.by_experiment(
        inputs[0], "curves", experiment, 2.6, "test bits/dim (lower is better)"
    )
    for ax, name, part in panels:
        part = part[part["estimator"] == curves.estimators(part)[-1]]
        ends, top = [], part["bpd"].min()
        for arm, look in style.looks(part["arm"]).items():
            own = part[part["arm"] == arm]
            curves.line(ax, own, "iteration", arm, look)
            last = own.iloc[-1]
            ends.append((last["bpd"], last["iteration"], arm, look.color))
            if arm in style.PAPER:
                top = max(top, own[own["iteration"] >= EARLY * last["iteration"]]["bpd"].max())
        low, right = part["bpd"].min(), part["iteration"].max()
        ax.set_ylim(low - 0.08 * (top - low), top)
        ax.set_xlim(EARLY / 2 * right, 1.55 * right)
        ends.sort()
        places = _apart([bpd for bpd, *_ in ends], 0.07 * (top - low))
        for y, (bpd, at, arm, colour) in zip(places, ends, strict=True):
            ax.text(
                at + 0.04 * right, y, f"{style.label(arm)}  {bpd:.2f}", color=colour, fontsize=7,
                va="center",
            )  # fmt: skip
        ax.set_title(name)
    return figure


def _apart(values: Sequence[float], least: float) -> list[float]:
    """Sorted values moved up until neighbours are `least` apart, so that labels do not overlap."""
    placed: list[float] = []
    for v in values:
        placed.append(max(v, placed[-1] + least) if placed else v)
    return placed
