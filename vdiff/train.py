"""The training loop: the DSM loss under either law of time, resumable to the same bytes.

All randomness of a step is a function of (seed, iteration), so the state needs no generator:
iteration, weights, optimiser, EMA and the metrics so far are all there is.
"""

import hashlib
import json
import logging
import signal
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from vdiff import checkpoint
from vdiff.bits import bits_per_dim, dequantise, to_real
from vdiff.config import Run
from vdiff.data import Images, Points
from vdiff.dsm import dsm_loss
from vdiff.elbo import expected_prior, integral_of_div_f
from vdiff.errors import VdiffError
from vdiff.nets.mlp import MLP
from vdiff.nets.unet import UNet
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


class Batches:
    """Training batches (x, log_det) as real vectors, a function of the iteration alone."""

    def __init__(self, data: Points | Images, run: Run, device: str):
        self.data, self.run, self.device = data, run, device
        self.batch_size = run.training.batch_size
        if isinstance(data, Images):
            self.images = data.train.to(device)
            self.batch_size = min(self.batch_size, len(self.images))
            self.per_epoch = len(self.images) // self.batch_size
            self._epoch, self._order = -1, None

    def __call__(self, iteration: int) -> tuple[Tensor, Tensor]:
        n, keys = self.batch_size, ("data", self.run.seed, iteration)
        if isinstance(self.data, Points):
            x = self.data.draw(n, generator(*keys)).to(self.device)
            return x, x.new_zeros(n)
        rng = generator(*keys, device=self.device)
        epoch, position = divmod(iteration, self.per_epoch)
        if epoch != self._epoch:
            order = torch.randperm(
                len(self.images), generator=generator("epoch", self.run.seed, epoch)
            )
            self._epoch, self._order = epoch, order.to(self.device)
        k = self.images[self._order[position * n : (position + 1) * n]]
        if self.run.training.flip:
            flip = torch.rand(n, 1, 1, 1, generator=rng, device=self.device) < 0.5
            k = torch.where(flip, k.flip(3), k)
        u = torch.rand(k.shape, generator=rng, device=self.device)
        return to_real(dequantise(k, u, self.data.levels), self.run.training.real)


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


def train(
    run: Run,
    data: Points | Images,
    state_folder: Path,
    device: str = "cpu",
    on_snapshot: Callable[[int, nn.Module], None] | None = None,
) -> tuple[list[dict], list[dict]]:
    """Train to run.training.iterations, resuming from state_folder if it holds a state.

    Returns the rows of the schemas train and snapshots. Raises Stopped on SIGTERM or SIGINT
    after saving, and VdiffError when the loss is not finite or another process trains here.
    """
    state_folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state_folder / "lock", timeout=0), Stop() as stop:
            return _train(run, data, state_folder, device, on_snapshot, stop)
    except Timeout:
        raise VdiffError(f"Another process is training in {state_folder}; wait for it.") from None


def _train(run, data, state_folder, device, on_snapshot, stop):
    sde, t = sde_of(run), run.training
    law = Debiased(sde, run.sde.eps_t) if run.debias else Uniform(sde.T)
    network = network_of(run, data.shape).to(device)
    a = drift_of(network, sde, run.network.parameterisation)
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
            average = state["average"]
            log.info("Resuming at iteration %d.", iteration)

    def save():
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
        weights = average or network.state_dict()
        content = checkpoint.dump({k: v.cpu() for k, v in weights.items()})
        write_bytes(_snapshot_path(state_folder, iteration), content)
        if on_snapshot:
            on_snapshot(iteration, network)

    name = f"train {run.experiment} debias={run.debias} seed={run.seed}"
    with bar(t.iterations, name, initial=iteration) as progress:
        if iteration == 0:
            snapshot()
        while iteration < t.iterations:
            rng = generator("train", run.seed, iteration, device=device)
            x, log_det = batches(iteration)
            s = law.sample(len(x), rng)
            eps = torch.randn(x.shape, generator=rng, device=device)
            losses = dsm_loss(sde, a, x, s, eps)
            loss = losses.mean()
            value = loss.item()
            if not torch.isfinite(torch.tensor(value)):
                raise VdiffError(
                    f"The loss is {value} at iteration {iteration + 1} of {name}; the last good "
                    f"state is kept in {state_folder}; try a smaller training.lr."
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            iteration += 1
            if average:
                for key, v in network.state_dict().items():
                    average[key].lerp_(v, 1 - t.ema)
            with torch.no_grad():
                bpd = _batch_bpd(sde, law, losses, eps, s, x, log_det, d, levels)
            sums = [sums[0] + value, sums[1] + bpd, sums[2] + 1]
            if iteration % t.log_every == 0:
                rows.append(_row(who, iteration, sums))
                progress.set_postfix_str(f"bpd={rows[-1]['train_bpd']:.3f}", refresh=False)
                sums = [0.0, 0.0, 0]
            if iteration % t.snapshot_every == 0 or iteration == t.iterations:
                snapshot()
            if iteration % t.checkpoint_every == 0 or iteration == t.iterations:
                save()
            progress.update()
            if stop.signal and iteration < t.iterations:
                save()
                raise Stopped(f"Stopped by {stop.signal} at iteration {iteration}; state saved.")
    if sums[2]:  # the last interval is short; the state keeps it open, for a longer run
        rows = [*rows, _row(who, iteration, sums)]
    return rows, _snapshots(run, state_folder, who, data.shape)


def _row(who: dict, iteration: int, sums: list) -> dict:
    loss, bpd, count = sums
    return {**who, "iteration": iteration, "loss": loss / count, "train_bpd": bpd / count}


def _batch_bpd(sde, law, losses, eps, s, x, log_det, d, levels) -> float:
    """A running bits/dim of the training batch from its DSM losses: unbiased but noisy.

    The integrand (g^2/sigma^2)(loss - ||eps||^2/2) with the control (sigma^2 g^2/sigma^2)
    (||eps||^2 - d)/2 of mean 0, weighted by 1/q.
    """
    g2, var = sde.beta(s), sde.var(s)
    square = sum_features(eps.square())
    h = g2 / var * (losses - square / 2 + var * (square - d) / 2)
    elbo = expected_prior(sde, x) - integral_of_div_f(sde, d) - h / law.density(s)
    return bits_per_dim(elbo, log_det, d, levels).mean().item()


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


def _snapshots(run: Run, folder: Path, who: dict, shape: tuple[int, ...]) -> list[dict]:
    t = run.training
    iterations = sorted({*range(0, t.iterations, t.snapshot_every), t.iterations})
    rows = []
    for iteration in iterations:
        path = _snapshot_path(folder, iteration)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        where = {"shape": shape_name(shape), "path": str(path), "sha256": digest}
        rows.append({**who, "iteration": iteration, **where})
    return rows


def shape_name(shape: tuple[int, ...]) -> str:
    """A data shape as snapshots.csv has it: 3x32x32."""
    return "x".join(str(n) for n in shape)


def write_tables(folder: Path, rows: list[dict], snapshots: list[dict]) -> None:
    write_csv(folder / "train.csv", rows, "train")
    write_csv(folder / "snapshots.csv", snapshots, "snapshots")
