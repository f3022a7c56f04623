"""The training loop: steps to the end, or until it is asked to stop; resumes from what was kept."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from vdiff.config import Run
from vdiff.data import Data
from vdiff.files.weights import Snapshot
from vdiff.machine.lock import held
from vdiff.machine.parallel import Workers
from vdiff.machine.precision import products
from vdiff.machine.progress import bar
from vdiff.machine.stop import Stop, Stopped
from vdiff.training.kept import Due, Kept, Monitor
from vdiff.training.trainer import Trainer

STOP_EVERY = 10  # iterations between two agreements of several processes on whether to stop


def steps(trainer: Trainer, stop: Stop, until: int | None = None) -> Iterator[Due]:
    """Steps to the end, until `stop` asks or to an iteration; says after each what is due. All
    losses up to something that is due are finite.
    """
    state, t, workers = trainer.state, trainer.run.training, trainer.workers
    # A state that is that far, of a process killed right after it was saved, goes no further.
    while state.iteration < (t.iterations if until is None else min(until, t.iterations)):
        trainer.step()
        i = state.iteration
        last = i == t.iterations
        stopping = stop.asked
        if workers.size > 1:
            stopping = i % STOP_EVERY == 0 and workers.any(stopping)
        stopping = stopping or i == until
        due = Due(
            row=i % t.log_every == 0,
            snapshot=last or i % t.snapshot_every == 0,
            save=last or stopping or i % t.checkpoint_every == 0,
            stop=stopping and not last,
        )
        if any(due):
            trainer.check()
        yield due
        if due.stop:
            return


def train(
    run: Run,
    data: Data,
    folder: Path,
    workers: Workers = Workers(),  # noqa: B008 (frozen)
    monitor: Monitor | None = None,
    slice_minutes: float | None = None,
    until: int | None = None,
) -> tuple[list[dict], list[Snapshot]]:
    """Train to run.training.iterations, resuming from the folder if it holds a state.

    Returns the rows of the schema train and the snapshots, in the first of several workers alone.
    Raises Stopped after saving, on SIGTERM or SIGINT, when slice_minutes are over or at the
    iteration `until`, and VdiffError when the loss is not finite. Waits while another process
    trains here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Of several workers the first holds the lock for all.
    lock = held(folder) if workers.first else nullcontext()
    with lock, products(run.training.precision), Stop(slice_minutes) as stop:
        trainer = Trainer(run, data, workers, folder.parent / "compiled")
        workers.check(len(trainer.batch()[0]))
        kept = Kept(trainer, folder, monitor if workers.first else None)
        with bar(
            run.training.iterations,
            f"train {run.label}",
            initial=trainer.state.iteration,
            silent=not workers.first,
        ) as progress:
            try:
                for due in steps(trainer, stop, until):
                    progress.set_postfix_str(kept.keep(due), refresh=False)
                    progress.update()
            finally:
                kept.writer.wait()
        if trainer.state.iteration < run.training.iterations:
            raise Stopped(stop.why, trainer.state.iteration)
        return kept.results() if workers.first else ([], [])
