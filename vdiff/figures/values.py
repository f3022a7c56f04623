"""The values of a figure's curves and where they stand in the picture, as JSON for a page that
reads them under the pointer."""

import json
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

MOST = 200  # points of a curve


def values(figure: Figure) -> str:
    """Every curve that has a label: `name`, the labels `x` and `y` of its axes, and `points` of
    (left, top, x, y), the first two as fractions of the picture. Lays the figure out."""
    figure.draw_without_rendering()
    curves = [curve for ax in figure.axes for curve in _curves(ax)]
    return json.dumps(curves, ensure_ascii=False, separators=(",", ":"))


def _curves(ax: Axes) -> Iterator[dict]:
    """None of a panel whose axes are not both of numbers with a label."""
    label, row = ax.get_xlabel(), _of_row(ax)
    if not (label and row):
        return
    size = ax.figure.bbox.size
    for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
        line = handle[0] if isinstance(handle, ErrorbarContainer) else handle
        # A line across the panel has no points of its own.
        if not isinstance(line, Line2D) or line.get_transform() != ax.transData:
            continue
        data = np.asarray(line.get_xydata(), float)
        data = data[np.isfinite(data).all(1)]
        at = line.get_transform().transform(data)
        seen = ax.bbox.padded(1).contains
        inside = [k for k, (x, y) in enumerate(at) if seen(x, y)]
        picked = inside[:: -(-len(inside) // MOST) or 1]
        points = [
            [*(round(v, 4) for v in (at[k][0] / size[0], 1 - at[k][1] / size[1])),
             *(float(f"{v:.4g}") for v in data[k])]
            for k in picked
        ]  # fmt: skip
        if points:
            yield {"name": name, "x": label, "y": row, "points": points}


def _of_row(ax: Axes) -> str:
    """The label of y, which in a row of panels the first alone has."""
    spec = ax.get_subplotspec()
    if ax.get_ylabel() or spec is None:
        return ax.get_ylabel()
    for other in ax.figure.axes:
        there = other.get_subplotspec()
        if there is not None and there.rowspan.start == spec.rowspan.start and other.get_ylabel():
            return other.get_ylabel()
    return ""
