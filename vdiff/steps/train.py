"""The training loop: the DSM loss under either law of time, resumable to the same bytes.

All randomness of a step is a function of (seed, iteration), so the state needs no generator:
iteration, weights, optimiser, EMA and the losses so far are all there is.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vdiff.config import Run
from vdiff.config.run import LENGTH_ONLY
from vdiff.data import Data
from vdiff.diffusion.bits import bits_per_dim
from vdiff.diffusion.drift import in_precision
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.elbo import elbo_of_losses
from vdiff.diffusion.fitted import Fitted
from vdiff.diffusion.times import Debiased, TimeLaw, Uniform, stratified
from vdiff.errors import VdiffError
from vdiff.files import checkpoint
from vdiff.files.weights import Snapshot, read_snapshot, write_snapshot
from vdiff.machine.devices import place
from vdiff.machine.lock import held
from vdiff.machine.parallel import Workers
from vdiff.machine.precision import products
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.machine.stop import Stop, Stopped
from vdiff.machine.writer import Writer
from vdiff.model import drift_from, network_of, sde_of
from vdiff.steps.optimisers import optimiser_of

log = logging.getLogger(__name__)
REFIT_EVERY = 100  # iterations between two fits of the law of time
STOP_EVERY = 10  # iterations between two agreements of several processes on whether to stop


class Monitor(Protocol):
    """Told of a run's course: where it starts, its rows of the schema train, its snapshots."""

    def start(self, iteration: int) -> None: ...

    def row(self, row: dict) -> None: ...

    def snapshot(self, iteration: int, weights: dict[str, Tensor]) -> None: ...


class State:
    """What a training is after some iterations. history: loss (nats) and bits/dim of each step."""

    def __init__(self, run: Run, network: nn.Module, device: str) -> None:
        t = run.training
        self.iteration = 0
        self.network = network
        self.optimiser = optimiser_of(network, t)
        self.average: dict[str, Tensor] | None = None
        if t.ema:
            self.average = {k: v.clone() for k, v in network.state_dict().items()}
        self.fitted: Fitted | None = None
        if t.law == "fitted":
            self.fitted = Fitted.fresh(sde_of(run), run.sde.eps_t, device)
        self.history = torch.zeros(t.iterations, 2, dtype=torch.float64, device=device)

    def dump(self) -> dict:
        return {
            "iteration": self.iteration,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "fitted": self.fitted and self.fitted.dump(),
            "history": self.history[: self.iteration],
        }

    def restore(self, saved: dict) -> None:
        self.iteration = saved["iteration"]
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if self.average is not None:
            for name, value in saved["average"].items():
                self.average[name].copy_(value)
        if self.fitted is not None:
            self.fitted.restore(saved["fitted"])
        self.history[: self.iteration] = saved["history"].to(self.history)

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights if there are any."""
        return dict(self.network.state_dict()) if self.average is None else self.average


class Trainer:
    """Takes steps. Of several workers, each has its share of every batch."""

    def __init__(self, run: Run, data: Data, workers: Workers, cache: Path) -> None:
        t, self.run, self.data, self.workers = run.training, run, data, workers
        self.sde = sde_of(run)
        self.debiased = Debiased(self.sde, run.sde.eps_t)
        self.paper: TimeLaw = self.debiased if run.debias else Uniform(self.sde.T)
        network = place(network_of(run, data.shape), workers.device)
        self.state = State(run, network, workers.device)
        self.batches = data.batches(run.seed, t.batch_size, t.flip, workers.device)
        self.weights = list(network.state_dict().values())
        # Both share the weights of `network`.
        self.shared = workers.wrap(network)
        called = _compiled(self.shared, t.compile, cache) if t.compile else self.shared
        self.a = in_precision(drift_from(called, run, data, workers.device), t.precision)
        self.checked = 0

    def step(self) -> None:
        """One step of the optimiser; notes the batch's mean loss and bits/dim in the history."""
        state, t, workers = self.state, self.run.training, self.workers
        batch = self.draw()
        n = len(batch[0])
        x, log_det, s, eps = (workers.share(v) for v in batch)
        state.optimiser.zero_grad()
        totals = torch.zeros(2, dtype=torch.float64, device=workers.device)
        seen, size = [], t.micro_batch or len(x)
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            with workers.between(self.shared, last=start + size >= len(x)):
                losses = dsm_loss(self.sde, self.a, x[part], s[part], eps[part])
                # Workers average their gradients; so it is right for unequal shares too.
                ((self.weight(s[part]) * losses).sum() * (workers.size / n)).backward()
            with torch.no_grad():
                bpd = self._bpd(x[part], log_det[part], s[part], eps[part], losses)
                if state.fitted is not None:
                    seen.append(losses)
                    losses = losses * self.paper.density(s[part]) / self.law.density(s[part])
                totals += torch.stack([losses.sum(dtype=torch.float64), bpd.sum()])
        state.optimiser.step(state.iteration)
        if state.average is not None:
            i = state.iteration
            decay = min(t.ema, (1 + i) / (10 + i)) if t.ema_warmup else t.ema
            torch._foreach_lerp_(list(state.average.values()), self.weights, 1 - decay)
        state.history[state.iteration] = workers.sum(totals) / n
        state.iteration += 1
        if state.fitted is not None:
            state.fitted.see(s, torch.cat(seen).detach(), workers.sum)
            if state.iteration % REFIT_EVERY == 0:
                state.fitted.refit()

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, log_det, times and noise of the next batch, of all workers together."""
        device = self.workers.device
        rng = generator("train", self.run.seed, self.state.iteration, device=device)
        x, log_det = self.batches(self.state.iteration)
        copies = self.run.training.draws_per_image
        x, log_det = (v.repeat_interleave(copies, 0) for v in (x, log_det))
        s = self.times(len(x), rng)
        return x, log_det, s, torch.randn(x.shape, generator=rng, device=device)

    @property
    def law(self) -> TimeLaw:
        """The law of the next batch's times."""
        fitted = self.state.fitted
        return self.paper if fitted is None else fitted.law

    def weight(self, s: Tensor) -> Tensor | float:
        """Of the losses at times s (B,): 1 for the paper's laws; for a fitted one, what makes the
        gradient the ELBO's, in units of the debiased law's."""
        if self.state.fitted is None:
            return 1.0
        return self.sde.weight(s) / self.law.density(s) / self.debiased.normalizer

    def times(self, n: int, rng: torch.Generator) -> Tensor:
        """A batch's times (n,), each of the law; together evenly spread, if so asked."""
        if self.run.training.draws == "independent":
            return self.law.sample(n, rng)
        return self.law.icdf(stratified(n, rng))

    def _bpd(self, x: Tensor, log_det: Tensor, s: Tensor, eps: Tensor, losses: Tensor) -> Tensor:
        """Bits/dim of training examples from their DSM losses, (B,): unbiased but noisy."""
        elbo = elbo_of_losses(self.sde, self.law, x, s, eps, losses)
        return bits_per_dim(elbo, log_det, x[0].numel(), self.data.levels)

    def check(self) -> None:
        """Raise VdiffError, naming the iteration, if a loss since the last check is not finite."""
        losses = self.state.history[self.checked : self.state.iteration, 0]
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            k = int(bad[0])
            raise VdiffError(
                f"The loss is {float(losses[k])} at iteration {self.checked + k + 1} of "
                f"{self.run.label}; the last good state is kept; try a smaller training.lr."
            )
        self.checked = self.state.iteration


class Due(NamedTuple):
    """What is due after a step: a row, a snapshot, a saved state; and whether to stop."""

    row: bool
    snapshot: bool
    save: bool
    stop: bool


def steps(trainer: Trainer, stop: Stop) -> Iterator[Due]:
    """Steps to the end, or until `stop` asks; says after each what is due. All losses up to
    something that is due are finite.
    """
    state, t, workers = trainer.state, trainer.run.training, trainer.workers
    while state.iteration < t.iterations:
        trainer.step()
        i = state.iteration
        last = i == t.iterations
        stopping = stop.asked
        if workers.size > 1:
            stopping = i % STOP_EVERY == 0 and workers.any(stopping)
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
) -> tuple[list[dict], list[Snapshot]]:
    """Train to run.training.iterations, resuming from the folder if it holds a state.

    Returns the rows of the schema train and the snapshots, in the first of several workers alone.
    Raises Stopped after saving, on SIGTERM or SIGINT or when slice_minutes are over, and
    VdiffError when the loss is not finite. Waits while another process trains here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Of several workers the first holds the lock for all.
    lock = held(folder) if workers.first else nullcontext()
    with lock, products(run.training.precision), Stop(slice_minutes) as stop:
        trainer = Trainer(run, data, workers, folder.parent / "compiled")
        workers.check(len(trainer.draw()[0]))
        kept = _Kept(trainer, folder, monitor if workers.first else None)
        with bar(
            run.training.iterations,
            f"train {run.label}",
            initial=trainer.state.iteration,
            silent=not workers.first,
        ) as progress:
            try:
                for due in steps(trainer, stop):
                    progress.set_postfix_str(kept.keep(due), refresh=False)
                    progress.update()
            finally:
                kept.writer.wait()
        if trainer.state.iteration < run.training.iterations:
            raise Stopped(
                f"Stopped by {stop.why} at iteration {trainer.state.iteration}; "
                "state saved, run again to resume."
            )
        return kept.results() if workers.first else ([], [])


class _Kept:
    """The files of a training: it resumes from them or starts over, and writes them."""

    def __init__(self, trainer: Trainer, folder: Path, monitor: Monitor | None) -> None:
        self.trainer, self.folder, self.monitor = trainer, folder, monitor
        self.run, self.first, self.said = trainer.run, trainer.workers.first, ""
        self.writer = Writer(trainer.workers.device)
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

        def write(weights: dict[str, Tensor]) -> None:
            write_snapshot(self.folder, iteration, weights, shape)

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
        found = []
        for i in snapshot_iterations(self.run):
            snapshot = read_snapshot(self.folder, i, self.trainer.data.shape)
            if snapshot is None:
                raise VdiffError(
                    f"{self.folder} has lost its snapshot of iteration {i}; train again."
                )
            found.append(snapshot)
        return _rows(self.trainer.state, self.run), found


def snapshot_iterations(run: Run) -> list[int]:
    """The iterations whose weights a run keeps: the first, the last and every snapshot_every."""
    t = run.training
    return sorted({*range(0, t.iterations, t.snapshot_every), t.iterations})


def _rows(state: State, run: Run) -> list[dict]:
    """Means over the log intervals so far; the last may be short."""
    parts = state.history[: state.iteration].cpu().split(run.training.log_every)
    ends = accumulate(len(part) for part in parts)
    return [_row(run, end, part) for end, part in zip(ends, parts, strict=True)]


def _row(run: Run, iteration: int, part: Tensor) -> dict:
    loss, bpd = part.mean(0).tolist()
    return {**run.who, "iteration": iteration, "loss": loss, "train_bpd": bpd}


def _compiled(network: nn.Module, how: bool | str, cache: Path) -> nn.Module:
    """By torch.compile in the mode `how`, or its default for True; its cache lies beside the states
    of all runs, so that a second run is warm."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    return torch.compile(network, mode=how if isinstance(how, str) else None)  # type: ignore


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
