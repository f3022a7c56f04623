"""Trajectories of one member of the lambda family, as 2-D histograms (figure 5)."""

import numpy as np
import torch
from torch import Tensor

from vdiff.config import Trajectory
from vdiff.config.fields import number
from vdiff.diffusion.drift import Drift, in_float64
from vdiff.diffusion.reverse import Reverse, check_lmbd
from vdiff.diffusion.stepping import noise_of
from vdiff.likelihood.sample import integrate
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.steps import Measured
from vdiff.steps.integrate import frame_steps
from vdiff.trained import Trained

CHUNK = 4096  # points at once: the activations of an MLP stay in the cache


def sample_trajectory(
    model: Trained, a: Drift, lmbd: float, settings: Trajectory
) -> dict[int, np.ndarray]:
    """The states (samples, 2) float32 after the steps of the columns, strips and frames."""
    wanted = {*settings.columns, *settings.strip_columns, *frame_steps(settings)}
    kept: dict[int, list[np.ndarray]] = {i: [] for i in sorted(wanted)}
    starts = range(0, settings.samples, CHUNK)

    def keep(i: int, x: Tensor) -> None:
        progress.update()
        if i in wanted:
            kept[i].append(x.float().cpu().numpy())

    reverse = Reverse(model.sde, in_float64(a), lmbd)
    with bar(settings.steps * len(starts), f"trajectory lmbd={number(lmbd)}") as progress:
        for start in starts:
            rng = generator("trajectory", model.run.seed, start, device=model.device)
            n = min(CHUNK, settings.samples - start)
            x = model.sde.prior_sd * torch.randn(n, 2, generator=rng, device=model.device)
            integrate(reverse, x, settings, noise_of(rng), keep)
    return {i: np.concatenate(parts) for i, parts in kept.items()}


def histogram(x: np.ndarray, bins: int, extent: float) -> np.ndarray:
    """Counts (bins, bins) of points (n, 2), first axis x, on [-extent, extent]^2."""
    limits = [[-extent, extent]] * 2
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], bins, limits)  # type: ignore[arg-type]
    return counts.astype(np.uint32)


def moments(step: int, x: np.ndarray, extent: float) -> dict:
    """A row of the schema trajectory: means, variances and how many points lie outside."""
    return {
        "step": step,
        "samples": len(x),
        "outside": int((np.abs(x) > extent).any(1).sum()),
        "mean_x": float(x[:, 0].mean(dtype=np.float64)),
        "mean_y": float(x[:, 1].mean(dtype=np.float64)),
        "var_x": float(x[:, 0].var(dtype=np.float64, ddof=1)),
        "var_y": float(x[:, 1].var(dtype=np.float64, ddof=1)),
    }


def measure(model: Trained, settings: Trajectory, lmbd: str) -> Measured:
    """Histograms after every step that a figure shows, and moments of the columns."""
    value = float(lmbd)
    check_lmbd(value)
    states = sample_trajectory(model, model.drift(), value, settings)
    counts = {i: histogram(x, settings.bins, settings.extent) for i, x in states.items()}
    shown = sorted({*settings.columns, *settings.strip_columns})
    film = frame_steps(settings)
    frames = np.array([counts[i] for i in film], np.uint32)
    arrays = {
        "lmbd": value,
        "extent": settings.extent,
        "final": states[max(states)],
        "steps": film,
        "frames": frames.reshape(-1, settings.bins, settings.bins),
        **{f"step_{i:05d}": counts[i] for i in shown},
    }
    rows = [{"lmbd": value, **moments(i, states[i], settings.extent)} for i in shown]
    return Measured({"out": arrays, "table": rows})


def cost(settings: Trajectory, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    return len(settings.lmbds) * settings.samples * settings.steps
