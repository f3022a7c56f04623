"""The table of a run's snapshots. Paths in it are relative to it: a results folder can be moved."""

import os
from collections.abc import Mapping
from pathlib import Path

from vdiff.errors import VdiffError
from vdiff.files.tidy import read_csv, write_csv
from vdiff.files.weights import Snapshot


def write_table(
    path: Path, who: dict, snapshots: list[Snapshot], data: Mapping[str, str | None]
) -> None:
    """data: checksums of the images that the weights were trained on and are to be tested on."""
    rows = [
        {
            **who,
            "iteration": s.iteration,
            "shape": s.shape,
            "path": os.path.relpath(s.path.resolve(), path.parent.resolve()),
            "sha256": s.sha256,
            "train_data": data.get("train"),
            "test_data": data.get("test"),
        }
        for s in snapshots
    ]
    write_csv(path, rows, "snapshots")


def check_data(path: Path, dataset: str, data: Mapping[str, str | None]) -> None:
    """Raise VdiffError unless the data are those of the training whose table of snapshots this is.

    data: checksums of the training and test images at hand.
    """
    rows = read_csv(path, "snapshots")
    for part, which in (("train", "training"), ("test", "test")):
        for known in rows[f"{part}_data"].unique():
            if known != (data.get(part) or ""):
                raise VdiffError(
                    f"{dataset} holds other {which} images than the run of {path} was made with; "
                    "give that data set, or train this run again."
                )


def read_table(path: Path) -> list[Snapshot]:
    """Raises VdiffError when the table is absent, damaged or empty."""
    frame = read_csv(path, "snapshots")
    if frame["iteration"].isna().any():
        raise VdiffError(f"{path} has a row without an iteration.")
    return [
        Snapshot(int(row.iteration), str(row.shape), path.parent / str(row.path), str(row.sha256))
        for row in frame.itertuples()
    ]
