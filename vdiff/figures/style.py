"""The one style of all figures: the paper's colours, column widths and embedded fonts."""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from vdiff.tidy import write_bytes

logging.getLogger("fontTools").setLevel(logging.WARNING)

COLUMN, PAGE = 3.25, 6.75  # inches, as in the conference's two-column and full width
COLOUR = {False: "#1f77b4", True: "#ff7f0e"}  # of debias, as in the paper
LINE = {False: (0, (4, 1.2)), True: "-"}  # a second cue beside colour
ESTIMATOR = {"published": ("#56606b", "--"), "efficient": ("#009e73", "-")}
MARKER = {False: "s", True: "o"}


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
    with sns.axes_style("ticks"), mpl.rc_context(settings):
        yield


def save(figure: Figure, out: Sequence[Path]) -> None:
    for path in out:
        kind = path.suffix.removeprefix(".")
        metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        write_bytes(path, buffer.getvalue())
    plt.close(figure)


def label(debias: bool) -> str:
    return f"debias {debias}"
