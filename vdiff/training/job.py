"""A training as a job: data and a state folder in, tables and weights out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vdiff.config import Run
from vdiff.data import Data, load
from vdiff.data.images import Images
from vdiff.data.remarks import remarks
from vdiff.files import checkpoint
from vdiff.files.asked import of_training
from vdiff.files.codehash import code_hash
from vdiff.files.fingerprint import fingerprint, not_official
from vdiff.files.objects import write_json
from vdiff.files.provenance import write_provenance
from vdiff.files.snapshots import write_table
from vdiff.files.tidy import write_csv
from vdiff.files.weights import Snapshot, take
from vdiff.machine.devices import Wanted, choose, name_of
from vdiff.machine.parallel import join
from vdiff.machine.stop import Stopped
from vdiff.training.kept import Monitor
from vdiff.training.loop import train

log = logging.getLogger("vdiff")


@dataclass(frozen=True)
class Part:
    """How much of a training a job does: for so many minutes, until an iteration, whose state then
    goes `into` a folder; it goes on from a folder `after` that another job left so."""

    minutes: float | None = None
    until: int | None = None
    into: Path | None = None
    after: Path | None = None


def train_to(
    out: Path,
    run: Run,
    run_file: Path | None,
    data_root: Path,
    device: Wanted,
    states: Path,
    part: Part = Part(),
    monitor: Callable[[Run, Data, str], Monitor] | None = None,
) -> dict:
    """Train in a folder of `states`; write train.csv and snapshots.csv, with provenance, to `out`.

    Returns facts for the job's receipt: device, data, precision. Raises Stopped when the part is
    over before the training is, and VdiffError as `train` does.
    """
    with join(choose(device)) as workers:
        with workers.first_before_others():
            data = load(run.dataset, data_root, run.training.real)
        checksum = data.checksum()
        facts = {"device": name_of(workers.accelerator), "data": {run.dataset: checksum}}
        folder = states / f"{run.key(checksum)}-{code_hash('training.loop')}"
        watch = None
        if workers.first:
            _remark(run, data, data_root)
            checkpoint.own(folder, out)
            if part.after:
                checkpoint.copy(part.after / folder.name, folder)
            if monitor:
                watch = monitor(run, data, workers.accelerator)
        workers.wait()
        rows: list[dict] = []
        snapshots: list[Snapshot] = []
        try:
            rows, snapshots = train(run, data, folder, workers, watch, part.minutes, part.until)
        except Stopped as stopped:
            if part.until is None or stopped.iteration < part.until:
                raise
        if not workers.first:
            return facts
    if part.into:
        checkpoint.copy(folder, part.into / folder.name)
        log.info("Trained to iteration %d; the state is in %s.", part.until, part.into)
        return facts
    if not run_file:
        run_file = out / "run.json"
        write_json(run_file, run.model_dump())
    held = fingerprint(run.dataset, data_root)
    write_csv(out / "train.csv", rows, "train")
    write_table(out / "snapshots.csv", run.who, take(snapshots, out / "weights"), held.images)
    asked = of_training(run, held, run_file)
    for name in ("train.csv", "snapshots.csv"):
        write_provenance(out / name, asked)
    for old in checkpoint.drop_superseded(folder):
        log.info("Deleted the state in %s: these results replace those that it led to.", old)
    log.info("Trained; the tables are %s and %s.", out / "train.csv", out / "snapshots.csv")
    return {**facts, "precision": snapshots[-1].precision}


def _remark(run: Run, data: Data, data_root: Path) -> None:
    if isinstance(data, Images):
        own = remarks({"training images": data.train, "test images": data.test})
        for said in [*not_official(run.dataset, data_root), *own]:
            log.warning("%s", said)
