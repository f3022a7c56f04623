"""Test bits/dim against iteration, with standard-error bands."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.figures import curves, style


def draw(inputs: Sequence[Path], experiment: str | None = None):
    """inputs: one CSV of the schema curves."""
    frame = curves.of_experiment(inputs[0], "curves", experiment)
    names = curves.estimators(frame)
    figure, axes = curves.panels(names, height=2.7)
    seeds = int(frame["seeds"].max())
    for ax, estimator in zip(axes, names, strict=True):
        for arm, look in style.looks(frame["arm"]).items():
            part = frame[(frame["estimator"] == estimator) & (frame["arm"] == arm)]
            curves.line(ax, part, "iteration", arm, look)
            x, y = part["iteration"], part["bpd"]
            if seeds > 1:
                for sign in (-1, 1):
                    ax.plot(x, y + sign * part["se_seeds"], color=look.color, lw=0.6, ls=":")
        ax.set(xlabel="training iteration", title=curves.title(estimator))
    # The untrained net is far off; the range is that of the curves once they have come down.
    late = frame[frame["iteration"] >= frame["iteration"].max() * 0.15]
    low, high = (late["bpd"] - late["se_test"]).min(), (late["bpd"] + late["se_test"]).max()
    start = frame.loc[frame["iteration"] == 0, "bpd"]
    axes[0].set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
    axes[0].set_ylabel("test bpd (bits/dim)")
    notes = ["band: one standard error over the test set"]
    if seeds > 1:
        notes.append(f"dotted: one standard error over {seeds} seeds")
    if frame["doubtful"].any():
        notes.append(style.DOUBT)
    if len(start):
        notes.append(f"untrained (off scale): {start.mean():.1f} bits/dim")
    curves.legend_below(figure, axes[-1], notes)
    name = frame["experiment"].iloc[0]
    figure.suptitle(f"{name}: negative ELBO on the test set", fontsize=9)
    return figure
