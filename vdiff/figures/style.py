"""The one style of all figures: the paper's colours, column widths and embedded fonts."""

from vdiff.figures.backend import mpl  # before pyplot

# isort: split
import io
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vdiff.figures.registry import VALUES
from vdiff.figures.values import values
from vdiff.files.atomic import write_bytes

logging.getLogger("fontTools").setLevel(logging.WARNING)

COLUMN, PAGE = 3.25, 6.75  # inches, as in the conference's two-column and full width
DOUBT = "ringed: heavy tail, error unreliable"
ESTIMATOR = {"published": ("#56606b", "--"), "efficient": ("#009e73", "-")}


class Look(NamedTuple):
    """Colour, and line and marker as a second cue."""

    color: str
    ls: Any
    marker: str


PAPER = {  # the paper's colours of its two arms
    "debias-False": Look("#1f77b4", (0, (4, 1.2)), "s"),
    "debias-True": Look("#ff7f0e", "-", "o"),
}
OTHERS = (  # colour-blind safe beside those two (Okabe and Ito)
    Look("#009e73", (0, (5, 1, 1, 1)), "D"),
    Look("#cc79a7", (0, (1, 1)), "^"),
    Look("#56b4e9", (0, (3, 1, 1, 1, 1, 1)), "v"),
    Look("#d55e00", (0, (6, 2)), "P"),
    Look("#8c6d31", (0, (2, 2)), "X"),
)


@contextmanager
def paper(dark: bool = False) -> Iterator[None]:
    """Style of a paper's figure, or of one on a dark page. The same data give the same bytes."""
    settings = {
        "figure.dpi": 200,
        "savefig.dpi": 200,
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "legend.fontsize": 7,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "lines.linewidth": 1.2,
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "vdiff",
        "figure.constrained_layout.use": True,
    }
    if dark:
        inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
        settings |= dict.fromkeys(inks, "#e6edf3") | dict.fromkeys(grounds, "#0d1117")
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc has no part in a figure
        with sns.axes_style("ticks"), mpl.rc_context(settings):
            yield


def save(figure: Figure, out: Sequence[Path]) -> None:
    """Written as PNG, whose text has the curves' values, as SVG or as PDF."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: the same in every file, and in half the time
    text = {VALUES: values(figure)}
    for path in out:
        kind = path.suffix.removeprefix(".")
        metadata = {"png": text, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        write_bytes(path, buffer.getvalue())
    plt.close(figure)


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """The look of each arm, in the order they are drawn: the paper's two, then the others."""
    names = sorted(set(arms), key=lambda arm: (arm not in PAPER, arm))
    others = cycle(OTHERS)
    return {arm: PAPER[arm] if arm in PAPER else next(others) for arm in names}


def plain(axis: Axis) -> None:
    """A logarithmic axis with labels as 20k or 0.5 that do not run into each other."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    subs = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=99))
    axis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
    axis.set_minor_formatter(NullFormatter())


def minus(text: str) -> str:
    """Numbers of a text with minus signs, as axes have them."""
    return text.replace("-", "\N{MINUS SIGN}")


def short(count: float) -> str:
    """A count in few letters.

    >>> short(20_000), short(500), short(1.5e6)
    ('20k', '500', '1.5M')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:g}{letter}"
    return f"{count:g}"


def doubt(ax: plt.Axes, x: pd.Series, y: pd.Series, doubted: pd.Series, colour: str) -> None:
    """A ring around each value whose standard error is unreliable."""
    ax.plot(x[doubted], y[doubted], "o", ms=7, mfc="none", mec=colour, mew=0.8)


def label(arm: str) -> str:
    return arm.replace("debias-", "debias ")
