"""Opening a trained model from its files."""

from pathlib import Path

from vdiff.config import Run, read_run
from vdiff.data import load
from vdiff.files.fingerprint import fingerprint
from vdiff.files.provenance import read_provenance
from vdiff.files.snapshots import check_data, read_table
from vdiff.trained import Trained


def open_model(
    run: Run, snapshots: Path, data_root: Path = Path("data"), device: str = "cpu"
) -> Trained:
    """The model of a run and the snapshots.csv that its training wrote.

    Raises VdiffError when the data are not those that the run was trained with, or the table is not
    as its provenance has it.
    """
    read_provenance(snapshots)
    check_data(snapshots, run.dataset, fingerprint(run.dataset, data_root).images)
    data = load(run.dataset, data_root, run.training.real)
    return Trained(run, data, device, read_table(snapshots))


def open_folder(folder: Path, data_root: Path = Path("data"), device: str = "cpu") -> Trained:
    """The same of the folder that a run keeps its files in. Raises as `open_model` does."""
    run = read_run(folder / "run.json")
    return open_model(run, folder / "snapshots.csv", data_root, device)
