"""The training loop: the DSM loss under either law of time, resumable to the same bytes.

All randomness of a step is a function of (seed, iteration), so the state needs no generator:
iteration, weights, optimiser, EMA and the metrics so far are all there is.
"""

import hashlib
import json
import logging
import math
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import torch
from filelock import AcquireReturnProxy, FileLock, Timeout
from torch import Tensor, nn

from vdiff import checkpoint
from vdiff.batches import Batches
from vdiff.bits import bits_per_dim
from vdiff.config import Run
from vdiff.data import Images, Points
from vdiff.devices import place
from vdiff.dsm import dsm_loss
from vdiff.elbo import expected_prior, integral_of_div_f
from vdiff.errors import VdiffError
from vdiff.nets.mlp import MLP
from vdiff.nets.unet import UNet
from vdiff.parallel import Workers
from vdiff.precision import in_precision, products
from vdiff.progress import bar
from vdiff.reverse import drift_of
from vdiff.sde import VPSDE
from vdiff.seeds import generator
from vdiff.tensors import sum_features
from vdiff.tidy import write_bytes, write_csv
from vdiff.times import Debiased, Uniform

log = logging.getLogger(__name__)


def sde_of(run: Run) -> VPSDE:
    return VPSDE(run.sde.beta_min, run.sde.beta_max, run.sde.T)


def network_of(run: Run, shape: tuple[int, ...]) -> nn.Module:
    """The run's network for data of that shape; raises VdiffError when they do not fit."""
    n = run.network
    if n.kind == "mlp":
        if len(shape) != 1:
            raise VdiffError(
                f"network.kind is mlp, which takes points, but {run.dataset} has images."
            )
        return MLP(shape[0], tuple(n.hidden), seed=run.seed)
    factor = 2 ** (len(n.multipliers) - 1)
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % factor:
        raise VdiffError(
            f"network.kind is unet with {len(n.multipliers)} levels, for square images of a side "
            f"divisible by {factor}, but {run.dataset} has shape {tuple(shape)}."
        )
    return UNet(
        shape,
        n.channels,
        tuple(n.multipliers),
        n.blocks,
        tuple(n.attention),
        n.time_scale,
        n.groups,
        seed=run.seed,
    )


class Stop:
    """Notes SIGTERM and SIGINT, so that the loop can save and leave."""

    def __init__(self):
        self.signal = None

    def __enter__(self):
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _note(self, number, frame):
        self.signal = signal.Signals(number).name

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Stopped(VdiffError):
    """The run was asked to stop and has saved its state."""


class Monitor(Protocol):
    """Told of a run's course: where it starts, its rows of the schema train, its snapshots."""

    def start(self, iteration: int) -> None: ...

    def row(self, row: dict) -> None: ...

    def snapshot(self, iteration: int, weights: dict[str, Tensor]) -> None: ...


def train(
    run: Run,
    data: Points | Images,
    state_folder: Path,
    workers: Workers = Workers(),  # noqa: B008 (frozen)
    monitor: Monitor | None = None,
    slice_minutes: float | None = None,
) -> tuple[list[dict], list[dict]]:
    """Train to run.training.iterations, resuming from state_folder if it holds a state.

    Returns the rows of the schemas train and snapshots, in the first of several workers alone.
    Raises Stopped after saving, on SIGTERM or SIGINT or when slice_minutes are over, and
    VdiffError when the loss is not finite. Waits while another process trains here.
    """
    workers.check(run.training.batch_size)
    state_folder.mkdir(parents=True, exist_ok=True)
    # Of several workers the first holds the lock for all.
    lock = _locked(state_folder) if workers.first else nullcontext()
    with lock, products(run.training.precision), Stop() as stop:
        return _train(run, data, state_folder, workers, monitor, stop, slice_minutes)


def _locked(state_folder: Path) -> AcquireReturnProxy:
    """The lock of a state folder; waits for another process that trains in it.

    A job that outlived its killed Snakemake is such a process: its successor takes over then.
    """
    lock = FileLock(state_folder / "lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.info("Another process is training in %s; waiting for it.", state_folder)
        return lock.acquire(poll_interval=1)


def _train(run, data, state_folder, workers, monitor, stop, slice_minutes):
    sde, t, device = sde_of(run), run.training, workers.device
    law = Debiased(sde, run.sde.eps_t) if run.debias else Uniform(sde.T)
    network = place(network_of(run, data.shape), device)
    optimiser = torch.optim.Adam(network.parameters(), lr=t.lr, fused=True)
    batches = Batches(data, run, device)
    d = torch.Size(data.shape).numel()
    levels = data.levels if isinstance(data, Images) else 1
    average = {k: v.clone() for k, v in network.state_dict().items()} if t.ema else None
    who = {"experiment": run.experiment, "debias": run.debias, "seed": run.seed}

    iteration, rows, sums = 0, [], [0.0, 0.0, 0]
    state = checkpoint.load_latest(state_folder)
    if state is not None:
        _check_same_run(run, json.loads(state["run"]), state_folder)
        if state["iteration"] <= t.iterations and state["every"] == _every(run):
            iteration, rows, sums = state["iteration"], state["rows"], state["sums"]
            network.load_state_dict(state["network"])
            optimiser.load_state_dict(state["optimiser"])
            if average:
                average = {k: v.to(device) for k, v in state["average"].items()}
            if workers.first:
                log.info("Resuming at iteration %d.", iteration)
        elif workers.first:
            log.warning(
                "The state in %s is of iteration %d with log_every, snapshot_every %s, which does "
                "not lead to %d with %s; starting over.",
                state_folder, state["iteration"], state["every"], t.iterations, _every(run),
            )  # fmt: skip

    # Both share the weights of `network`.
    shared = workers.wrap(network)
    called = _compiled(shared, state_folder) if t.compile else shared
    a = in_precision(drift_of(called, sde, run.network.parameterisation), t.precision)
    weights = list(network.state_dict().values())

    def save():
        if workers.first:
            checkpoint.save(
                state_folder,
                iteration,
                {
                    "run": run.model_dump_json(),
                    "every": _every(run),
                    "iteration": iteration,
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "average": average,
                    "rows": rows,
                    "sums": sums,
                },
            )

    def snapshot():
        if workers.first:
            kept = {k: v.cpu() for k, v in (average or network.state_dict()).items()}
            write_snapshot(state_folder, iteration, kept, data.shape)
            if monitor:
                monitor.snapshot(iteration, kept)

    def step() -> tuple[float, float, bool]:
        """One step of Adam; the batch's mean loss and bits/dim, and whether to stop."""
        rng = generator("train", run.seed, iteration, device=device)
        x, log_det = batches(iteration)
        s = law.sample(len(x), rng)
        eps = torch.randn(x.shape, generator=rng, device=device)
        n = len(x)
        x, log_det, s, eps = (workers.share(v) for v in (x, log_det, s, eps))
        optimiser.zero_grad(set_to_none=True)
        totals = torch.zeros(3, dtype=torch.float64, device=device)
        totals[2] = stop.signal is not None or time.monotonic() > end
        size = t.micro_batch or len(x)
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            xs, ss, noise = x[part], s[part], eps[part]
            with workers.between(shared, last=start + size >= len(x)):
                losses = dsm_loss(sde, a, xs, ss, noise)
                (losses.sum() / len(x)).backward()
            with torch.no_grad():
                bpd = _batch_bpd(sde, law, losses, noise, ss, xs, log_det[part], d, levels)
                totals[:2] += torch.stack([losses.sum(dtype=torch.float64), bpd.sum()])
        loss, bpd, stopping = workers.sum(totals).tolist()
        if not math.isfinite(loss):
            raise VdiffError(
                f"The loss is {loss / n} at iteration {iteration + 1} of {name}; the last good "
                f"state is kept in {state_folder}; try a smaller training.lr."
            )
        optimiser.step()
        if average:
            torch._foreach_lerp_(list(average.values()), weights, 1 - t.ema)
        return loss / n, bpd / n, stopping > 0

    name = f"train {run.experiment} debias={run.debias} seed={run.seed}"
    end = math.inf if slice_minutes is None else time.monotonic() + 60 * slice_minutes
    if monitor and workers.first:
        monitor.start(iteration)
    with bar(t.iterations, name, initial=iteration, silent=not workers.first) as progress:
        if iteration == 0:
            snapshot()
        while iteration < t.iterations:
            loss, bpd, stopping = step()
            iteration += 1
            sums = [sums[0] + loss, sums[1] + bpd, sums[2] + 1]
            if iteration % t.log_every == 0:
                rows.append(_row(who, iteration, sums))
                progress.set_postfix_str(f"bpd={rows[-1]['train_bpd']:.3f}", refresh=False)
                sums = [0.0, 0.0, 0]
                if monitor and workers.first:
                    monitor.row(rows[-1])
            if iteration % t.snapshot_every == 0 or iteration == t.iterations:
                snapshot()
            if iteration % t.checkpoint_every == 0 or iteration == t.iterations:
                save()
            progress.update()
            if stopping and iteration < t.iterations:
                save()
                why = f"Stopped by {stop.signal or 'the end of its time slice'}"
                raise Stopped(f"{why} at iteration {iteration}; state saved, run again to go on.")
    if not workers.first:
        return [], []
    if sums[2]:  # the last interval is short; the state keeps it open, for a longer run
        rows = [*rows, _row(who, iteration, sums)]
    return rows, _snapshots(run, state_folder, who, data.shape)


def _compiled(network: nn.Module, state_folder: Path) -> nn.Module:
    """By torch.compile, its cache beside the states of all runs, so that a second run is warm."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(state_folder.parent / "compiled"))
    return torch.compile(network)


def _row(who: dict, iteration: int, sums: list) -> dict:
    loss, bpd, count = sums
    return {**who, "iteration": iteration, "loss": loss / count, "train_bpd": bpd / count}


def _batch_bpd(sde, law, losses, eps, s, x, log_det, d, levels) -> Tensor:
    """Bits/dim of the training examples from their DSM losses, (B,): unbiased but noisy.

    The integrand (g^2/sigma^2)(loss - ||eps||^2/2) with the control (sigma^2 g^2/sigma^2)
    (||eps||^2 - d)/2 of mean 0, weighted by 1/q.
    """
    g2, var = sde.beta(s), sde.var(s)
    square = sum_features(eps.square())
    h = g2 / var * (losses - square / 2 + var * (square - d) / 2)
    elbo = expected_prior(sde, x) - integral_of_div_f(sde, d) - h / law.density(s)
    return bits_per_dim(elbo, log_det, d, levels)


def _every(run: Run) -> list[int]:
    t = run.training
    return [t.log_every, t.snapshot_every]


def _check_same_run(run: Run, saved: dict, folder: Path) -> None:
    """Refuse a state of another configuration, naming the first key that differs."""
    now = json.loads(run.model_dump_json())
    for group in ("dataset", "debias", "seed", "sde", "network", "training"):
        pairs = now[group] if isinstance(now[group], dict) else {"": now[group]}
        old = saved[group] if isinstance(saved[group], dict) else {"": saved[group]}
        for key, value in pairs.items():
            length = key in ("iterations", "log_every", "snapshot_every", "checkpoint_every")
            if not length and old.get(key) != value:
                name = f"{group}.{key}".rstrip(".")
                raise VdiffError(
                    f"The state in {folder} has {name} {old.get(key)}, not {value}; "
                    "give another state folder or the same configuration."
                )


def _snapshot_path(folder: Path, iteration: int) -> Path:
    return folder / "snapshots" / f"{iteration:08d}.pt"


def write_snapshot(
    folder: Path, iteration: int, weights: dict[str, Tensor], shape: tuple[int, ...]
) -> dict:
    """Save weights for data of that shape; returns the last columns of the schema snapshots."""
    path = _snapshot_path(folder, iteration)
    write_bytes(path, checkpoint.dump(weights))
    return _saved(path, shape)


def _saved(path: Path, shape: tuple[int, ...]) -> dict:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"shape": shape_name(shape), "path": str(path), "sha256": digest}


def _snapshots(run: Run, folder: Path, who: dict, shape: tuple[int, ...]) -> list[dict]:
    t = run.training
    iterations = sorted({*range(0, t.iterations, t.snapshot_every), t.iterations})
    return [{**who, "iteration": i, **_saved(_snapshot_path(folder, i), shape)} for i in iterations]


def shape_name(shape: tuple[int, ...]) -> str:
    """A data shape as snapshots.csv has it: 3x32x32."""
    return "x".join(str(n) for n in shape)


def write_tables(folder: Path, rows: list[dict], snapshots: list[dict]) -> None:
    write_csv(folder / "train.csv", rows, "train")
    write_csv(folder / "snapshots.csv", snapshots, "snapshots")
