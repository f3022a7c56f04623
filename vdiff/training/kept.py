"""The files of a training: what it resumes from, and what it leaves."""

import json
import logging
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from vdiff.config import Run
from vdiff.config.run import LENGTH_ONLY
from vdiff.errors import VdiffError
from vdiff.files import checkpoint
from vdiff.files.weights import Snapshot, read_snapshot, write_snapshot
from vdiff.machine.writer import Writer
from vdiff.training.trainer import Trainer

log = logging.getLogger(__name__)


class Monitor(Protocol):
    """Told of a run's course: where it starts, its rows of the schema train, its snapshots."""

    def start(self, iteration: int) -> None: ...

    def row(self, row: dict) -> None: ...

    def snapshot(self, iteration: int, weights: dict[str, Tensor]) -> None: ...


class Due(NamedTuple):
    """What is due after a step: a row, a snapshot, a saved state; and whether to stop."""

    row: bool
    snapshot: bool
    save: bool
    stop: bool


class Kept:
    """The files of a training: it resumes from them or starts over, and writes them."""

    def __init__(self, trainer: Trainer, folder: Path, monitor: Monitor | None) -> None:
        self.trainer, self.folder, self.monitor = trainer, folder, monitor
        self.run, self.first, self.said = trainer.run, trainer.workers.first, ""
        self.writer = Writer(trainer.workers.accelerator)
        saved = checkpoint.load_latest(folder)
        if saved is not None:
            _check_same_course(self.run, saved["course"], folder)
            why = self._unfit(saved["iteration"])
            if why is None:
                trainer.state.restore(saved)
                if self.first:
                    log.info("Resuming at iteration %d.", trainer.state.iteration)
            elif self.first:
                log.warning(
                    "The saved state in %s (iteration %d) cannot be continued to %d: %s; "
                    "starting over.",
                    folder, saved["iteration"], self.run.training.iterations, why,
                )  # fmt: skip
        trainer.agree_on_precision()
        trainer.checked = trainer.state.iteration
        trainer.workers.wait()  # before the first clears what the others have read
        if trainer.state.iteration == 0 and self.first:
            checkpoint.clear(folder)
        if self.monitor:
            self.monitor.start(trainer.state.iteration)
        if trainer.state.iteration == 0:
            self.snapshot()

    def _unfit(self, iteration: int) -> str | None:
        """Why a state of that iteration does not lead to the run's end."""
        if iteration > self.run.training.iterations:
            return "it is beyond the end"
        for i in snapshot_iterations(self.run):
            if i <= iteration and read_snapshot(self.folder, i, self.trainer.data.shape) is None:
                return f"the weights of iteration {i} were not kept"
        return None

    def keep(self, due: Due) -> str:
        """Keep what is due; says how the training goes."""
        if due.row:
            self.said = f"bpd={self.row()['train_bpd']:.3f}"
        if due.snapshot:
            self.snapshot()
        if due.save:
            self.save()
        return self.said

    def row(self) -> dict:
        """The row of the log interval that has just ended."""
        state = self.trainer.state
        part = state.history[state.iteration - self.run.training.log_every : state.iteration]
        row = _row(self.run, state.iteration, part.cpu())
        if self.monitor:
            self.monitor.row(row)
        return row

    def snapshot(self) -> None:
        if not self.first:
            return
        iteration, shape = self.trainer.state.iteration, self.trainer.data.shape
        precision = self.trainer.state.precision

        def write(weights: dict[str, Tensor]) -> None:
            write_snapshot(self.folder, iteration, weights, shape, precision)

        weights = self.trainer.state.weights()
        self.writer.write(weights, write)
        if self.monitor:
            self.monitor.snapshot(iteration, {name: v.cpu() for name, v in weights.items()})

    def save(self) -> None:
        if not self.first:
            return
        iteration = self.trainer.state.iteration

        def write(content: dict) -> None:
            checkpoint.save(self.folder, iteration, content)

        content = {"course": json.dumps(self.run.course), **self.trainer.state.dump()}
        self.writer.write(content, write)

    def results(self) -> tuple[list[dict], list[Snapshot]]:
        """The rows and snapshots of the whole training."""
        self.writer.wait()
        snapshots = []
        for i in snapshot_iterations(self.run):
            snapshot = read_snapshot(self.folder, i, self.trainer.data.shape)
            if snapshot is None:
                raise VdiffError(
                    f"{self.folder} has lost its snapshot of iteration {i}; train again."
                )
            snapshots.append(snapshot)
        state = self.trainer.state
        return rows_of(self.run, state.history[: state.iteration]), snapshots


def snapshot_iterations(run: Run) -> list[int]:
    """The iterations whose weights a run keeps: the first, the last and every snapshot_every."""
    t = run.training
    return sorted({*range(0, t.iterations, t.snapshot_every), t.iterations})


def rows_of(run: Run, history: Tensor) -> list[dict]:
    """Of the schema train: means over the log intervals, the last of which may be short, of each
    step's loss (nats) and bits/dim, history (iterations, 2)."""
    parts = history.cpu().split(run.training.log_every)
    ends = accumulate(len(part) for part in parts)
    return [_row(run, end, part) for end, part in zip(ends, parts, strict=True)]


def _row(run: Run, iteration: int, part: Tensor) -> dict:
    loss, bpd = part.mean(0).tolist()
    return {**run.who, "iteration": iteration, "loss": loss, "train_bpd": bpd}


def _check_same_course(run: Run, saved: str, folder: Path) -> None:
    """Refuse a state of another course of training, naming the first key that differs."""
    now, old = json.loads(json.dumps(run.course)), json.loads(saved)
    for group, value in now.items():
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        for key, wanted in pairs:
            before = old.get(group)
            before = before.get(key) if isinstance(before, dict) else before
            if key not in LENGTH_ONLY and before != wanted:
                name = f"{group}.{key}".rstrip(".")
                raise VdiffError(
                    f"The state in {folder} has {name} {before}, not {wanted}; "
                    "give another state folder or the same configuration."
                )
