"""Every figure of every kept result, read as it is drawn: no text over text, none cut off, no
legend over a curve, no panel without anything in it."""

from importlib import import_module
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.legend import Legend
from support.pipeline import ROOT

from vdiff.figures import style
from vdiff.figures.registry import FIGURES
from vdiff.report.contents import read_config

KEPT = sorted(p.parent for p in (ROOT / "results/reference").glob("*/config.json"))
CASES = [
    pytest.param(
        folder,
        figure,
        name,
        id=f"{folder.name}-{figure.stem(name)}",
        marks=() if folder.name == "laptop" else pytest.mark.slow,
    )
    for folder in KEPT
    for figure in FIGURES.values()
    if not figure.moving
    for name in figure.names(read_config(folder))
]
SLACK = 1.0  # pixels that boxes of text may share


def faults(figure) -> list[str]:
    """What is wrong with a drawn figure, in words."""
    figure.draw_without_rendering()  # lays it out, which is all that is asked
    renderer, found = figure.canvas.get_renderer(), []
    whole = figure.bbox
    for ax in figure.axes:
        there = (*ax.lines, *ax.collections, *ax.images, *ax.patches, *ax.texts)
        if ax.get_visible() and not there:
            found.append(f"the panel {ax.get_title()!r} is empty")
        for axis in (ax.xaxis, ax.yaxis):
            labels = [t for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
            inside = [t.get_window_extent(renderer) for t in labels if inside_axis(t, ax, axis)]
            found += [
                f"tick labels of {ax.get_title()!r} overlap"
                for a, b in combinations(inside, 2)
                if overlap(a, b)
            ][:1]
        legend = ax.get_legend()
        if legend is not None:
            found += over_curves(legend, ax, renderer)
    texts = [figure._suptitle, *(ax.title for ax in figure.axes)]
    texts += [label for ax in figure.axes for label in (ax.xaxis.label, ax.yaxis.label)]
    texts = [t for t in texts if t is not None and t.get_text() and t.get_visible()]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts]
    boxes += [("a legend", x.get_window_extent(renderer)) for x in figure.legends]
    for text, box in boxes:
        out = max(-box.x0, -box.y0, box.x1 - whole.x1, box.y1 - whole.y1)
        if out > SLACK:
            found.append(f"{text!r} is cut off")
    found += [
        f"{a!r} lies over {b!r}" for (a, x), (b, y) in combinations(boxes, 2) if overlap(x, y)
    ]
    return found


def inside_axis(text, ax, axis) -> bool:
    low, high = sorted(axis.get_view_interval())
    at = text.get_position()[0 if axis is ax.xaxis else 1]
    return low <= at <= high


def overlap(a, b) -> bool:
    return min(a.x1, b.x1) - max(a.x0, b.x0) > SLACK and min(a.y1, b.y1) - max(a.y0, b.y0) > SLACK


def over_curves(legend: Legend, ax, renderer) -> list[str]:
    box = legend.get_window_extent(renderer)
    for line in ax.lines:
        if line.get_transform() != ax.transData or len(line.get_xdata()) < 3:
            continue
        data = np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float)
        points = ax.transData.transform(data)
        points = points[np.isfinite(points).all(1)]
        steps = np.linspace(0, 1, 20)[:, None, None]
        path = (points[:-1] + steps * (points[1:] - points[:-1])).reshape(-1, 2)
        held = (path[:, 0] > box.x0) & (path[:, 0] < box.x1)
        if (held & (path[:, 1] > box.y0) & (path[:, 1] < box.y1)).any():
            return [f"the legend of {ax.get_title()!r} lies over a curve"]
    return []


@pytest.mark.parametrize(("folder", "figure", "name"), CASES)
def test_a_kept_figure_can_be_read(folder, figure, name):
    config = read_config(folder)
    inputs = [folder / path for path in figure.inputs(config, name)]
    with style.paper():
        module = import_module(f"vdiff.figures.{figure.module}")
        made = module.draw(inputs, **figure.options(config, name))
        found = faults(made)
    plt.close(made)
    assert found == []


def test_the_test_sees_what_is_wrong():
    with style.paper():
        figure, axes = plt.subplots(1, 2, figsize=(2, 1))
        axes[0].plot([0, 1, 2], [0, 1, 0], label="a curve with a long name")
        axes[0].legend(loc="center")
        axes[0].set_xticks([0, 0.01, 2], ["zero point", "near it", "2"])
        figure.suptitle("far too long a title for a figure as small as this one is, by any measure")
        said = " ".join(faults(figure))
    plt.close(figure)
    for words in ("is empty", "overlap", "over a curve", "cut off"):
        assert words in said
