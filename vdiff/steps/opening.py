"""Opening a trained model from its files."""

from pathlib import Path

from vdiff.config import Run
from vdiff.data import load
from vdiff.files.snapshots import read_table
from vdiff.model import Model


def open_model(
    run: Run, snapshots: Path, data_root: Path = Path("data"), device: str = "cpu"
) -> Model:
    """The model of a run and the snapshots.csv that its training wrote."""
    data = load(run.dataset, data_root, run.training.real)
    return Model(run, data, device, read_table(snapshots))
