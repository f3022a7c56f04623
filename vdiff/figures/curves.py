"""What the curve figures share: one panel per estimator, a line per setting of debias."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from vdiff.errors import VdiffError
from vdiff.figures import style
from vdiff.tidy import read_csv

TITLE = {"published": "the paper's estimator", "efficient": "efficient estimator"}


def of_experiment(path: Path, schema: str, experiment: str | None) -> pd.DataFrame:
    frame = read_csv(path, schema)
    experiment = experiment or frame["experiment"].iloc[0]
    part = frame[frame["experiment"] == experiment]
    if part.empty:
        raise VdiffError(f"{path} has no rows of the experiment {experiment!r}.")
    return part


def panels(names: Sequence[str]):
    """(figure, axes) with one panel a name, axes shared."""
    width = style.COLUMN if len(names) == 1 else style.PAGE
    figure, axes = plt.subplots(
        1, len(names), figsize=(width, 2.4), sharex=True, sharey=True, squeeze=False
    )
    return figure, axes[0]


def estimators(frame: pd.DataFrame) -> list[str]:
    return [name for name in TITLE if name in set(frame["estimator"])]
