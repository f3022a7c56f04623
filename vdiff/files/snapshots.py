"""The table of a run's snapshots. Paths in it are relative to it: a results folder can be moved."""

import os
from pathlib import Path

from vdiff.errors import VdiffError
from vdiff.files.tidy import read_csv, write_csv
from vdiff.files.weights import Snapshot


def write_table(path: Path, who: dict, snapshots: list[Snapshot]) -> None:
    rows = [
        {
            **who,
            "iteration": s.iteration,
            "shape": s.shape,
            "path": os.path.relpath(s.path.resolve(), path.parent.resolve()),
            "sha256": s.sha256,
        }
        for s in snapshots
    ]
    write_csv(path, rows, "snapshots")


def read_table(path: Path) -> list[Snapshot]:
    """Raises VdiffError when the table is absent, damaged or empty."""
    frame = read_csv(path, "snapshots")
    if frame["iteration"].isna().any():
        raise VdiffError(f"{path} has a row without an iteration.")
    return [
        Snapshot(int(row.iteration), str(row.shape), path.parent / str(row.path), str(row.sha256))
        for row in frame.itertuples()
    ]
