"""fetch."""

import logging
import shutil
from pathlib import Path

import click

from vdiff.cli.group import FOLDER, main
from vdiff.cli.options import ROOT
from vdiff.errors import VdiffError

log = logging.getLogger("vdiff")


@main.command()
@click.argument("dataset")
@click.option("--out", type=FOLDER, required=True, help="A folder for it, new or empty.")
@ROOT
def fetch(dataset: str, out: Path, data_root: Path) -> None:
    """Put DATASET (mnist, cifar10 or npz:PATH) into a folder that can be a --data-root elsewhere.

    A torchvision set is downloaded unless it is under the data root.
    """
    from vdiff.data import load
    from vdiff.files.fingerprint import OFFICIAL, not_official
    from vdiff.files.located import file_of

    if not dataset.startswith("npz:") and dataset not in OFFICIAL:
        known = ", ".join([*OFFICIAL, "npz:PATH"])
        raise VdiffError(f"The dataset is {dataset!r}; what can be fetched is {known}.")
    load(dataset, data_root)
    for said in not_official(dataset, data_root):
        log.warning("%s", said)
    if out.exists() and any(out.iterdir()):
        raise VdiffError(f"The folder {out} is not empty; give another one by --out.")
    out.mkdir(parents=True, exist_ok=True)
    if dataset in OFFICIAL:
        folder = Path(next(iter(OFFICIAL[dataset]))).parent
        archives = shutil.ignore_patterns("*.gz")
        shutil.copytree(data_root / folder, out / folder, ignore=archives)
    else:
        path = file_of(dataset, data_root)
        shutil.copyfile(path, out / path.name)
    log.info("%s is in %s.", dataset, out)
