"""Sampling from a trained network: image grids, and trajectories of the lambda family."""

import numpy as np
import torch
from torch import Tensor

from vdiff.bits import to_unit
from vdiff.config import Trajectory
from vdiff.data import Images
from vdiff.progress import bar
from vdiff.reverse import Drift, Reverse
from vdiff.samplers import (
    euler_maruyama,
    in_float64,
    noise_of,
    noise_per_sample,
    uniform_grid,
)
from vdiff.sde import VPSDE
from vdiff.seeds import generator, normal_per_example

CHUNK = 4096  # rows of a trajectory batch: the activations of an MLP stay in the cache


def sample_images(
    sde: VPSDE,
    a: Drift,
    data: Images,
    count: int,
    steps: int,
    lmbd: float = 0.0,
    real: bool = True,
    seed: int = 0,
    device: str = "cpu",
    description: str = "sample",
) -> tuple[np.ndarray, int, int]:
    """(images (count, C, H, W) uint8 in 0..levels-1, pixels below range, pixels above it).

    Pixels out of [0, 1] are clipped, but counted.
    """
    keys = ("sample", seed)
    noise = noise_per_sample(range(count), *keys, "steps")
    x = normal_per_example(range(count), data.shape, *keys, "start").to(device)
    with bar(steps, description) as progress:
        x = euler_maruyama(
            Reverse(sde, in_float64(a), lmbd),
            x,
            uniform_grid(sde, steps),
            noise,
            lambda i, x: progress.update() and None,
        )
    x = to_unit(x, real)
    below, above = int((x < 0).sum()), int((x > 1).sum())
    k = (x * data.levels).floor().clamp(0, data.levels - 1)
    return k.to(torch.uint8).cpu().numpy(), below, above


def sample_trajectory(
    sde: VPSDE,
    a: Drift,
    lmbd: float,
    settings: Trajectory,
    seed: int = 0,
    device: str = "cpu",
    description: str = "trajectory",
) -> dict[int, np.ndarray]:
    """The states (samples, 2) float32 after the steps of settings.columns and strip_columns."""
    wanted = {*settings.columns, *settings.strip_columns}
    kept: dict[int, list[np.ndarray]] = {i: [] for i in sorted(wanted)}
    times = uniform_grid(sde, settings.steps)
    starts = range(0, settings.samples, CHUNK)

    def keep(i: int, x: Tensor) -> None:
        progress.update()
        if i in wanted:
            kept[i].append(x.float().cpu().numpy())

    with bar(settings.steps * len(starts), description) as progress:
        for start in starts:
            rng = generator("trajectory", seed, start, device=device)
            n = min(CHUNK, settings.samples - start)
            x = torch.randn(n, 2, generator=rng, device=device)
            euler_maruyama(Reverse(sde, in_float64(a), lmbd), x, times, noise_of(rng), keep)
    return {i: np.concatenate(parts) for i, parts in kept.items()}


def histograms(states: dict[int, np.ndarray], bins: int, extent: float) -> dict[str, np.ndarray]:
    """Counts (bins, bins), first axis x, on [-extent, extent]^2 by step: {"step_00820": ...}."""
    limits = [[-extent, extent]] * 2
    return {
        f"step_{i:05d}": np.histogram2d(*x.T, bins=bins, range=limits)[0].astype(np.uint32)
        for i, x in states.items()
    }


def moments(states: dict[int, np.ndarray], extent: float) -> list[dict]:
    """Rows of the schema trajectory: means, variances and how many points lie outside."""
    return [
        {
            "step": i,
            "samples": len(x),
            "outside": int((np.abs(x) > extent).any(1).sum()),
            "mean_x": float(x[:, 0].mean(dtype=np.float64)),
            "mean_y": float(x[:, 1].mean(dtype=np.float64)),
            "var_x": float(x[:, 0].var(dtype=np.float64, ddof=1)),
            "var_y": float(x[:, 1].var(dtype=np.float64, ddof=1)),
        }
        for i, x in states.items()
    ]
