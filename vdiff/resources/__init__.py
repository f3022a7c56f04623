"""Figures from elsewhere with their sources: published values, and measured rates of devices."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import pandas as pd

from vdiff.errors import VdiffError

THROUGHPUT: Traversable = files(__name__) / "throughput.csv"
CURVES_ON, CURVES_BATCH = "cifar10", 128
"""The data set of the published curves, and the images in a batch of their training."""


def published_curves(path: Path | None = None) -> pd.DataFrame:
    """debias, iteration, bpd, bpd_std_err of a file like the package's own, the default."""
    try:
        with (path or files(__name__) / "cifar10_bpd_published.csv").open() as file:
            return pd.read_csv(file, comment="#")[["debias", "iteration", "bpd", "bpd_std_err"]]
    except (OSError, KeyError, ValueError) as error:
        raise VdiffError(f"{path} cannot be read as published curves: {error}.") from None


def published_values(dataset: str | None) -> pd.DataFrame:
    """Published test bits/dim on a data set: debias, bpd, examples, source; no rows for others."""
    with (files(__name__) / "published_bpd.csv").open() as file:
        frame = pd.read_csv(file, comment="#")
    return frame[frame["dataset"] == dataset]
