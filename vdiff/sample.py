"""Sampling from a trained network: image grids, and trajectories of the lambda family."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdiff.bits import to_unit
from vdiff.config import Distances, Integration, Sampling, Trajectory
from vdiff.data import Images
from vdiff.distances import compare
from vdiff.progress import bar
from vdiff.reverse import Drift, Reverse
from vdiff.samplers import sampler_of
from vdiff.samplers.grids import grid_of
from vdiff.samplers.noise import noise_of, noise_per_sample
from vdiff.samplers.state import in_float64
from vdiff.sde import VPSDE
from vdiff.seeds import generator, normal_per_example

CHUNK = 4096  # rows of a trajectory batch: the activations of an MLP stay in the cache


@dataclass(frozen=True)
class Grid:
    """images (count, C, H, W) uint8 in 0..levels-1; frames (F, count, C, H, W) on the way there;
    below, above: how many pixels of the images lay outside [0, 1] and were clipped.
    """

    images: np.ndarray
    frames: np.ndarray
    below: int
    above: int


def frame_steps(settings: Integration) -> list[int]:
    """The steps after which the frames of an animation are taken, densest at the end."""
    left = np.linspace(1, 0, settings.frames) ** 2
    return sorted({int(i) for i in (settings.steps - (settings.steps - 1) * left).round()})


def sample_images(
    sde: VPSDE,
    a: Drift,
    data: Images,
    settings: Sampling,
    real: bool = True,
    seed: int = 0,
    device: str = "cpu",
    description: str = "sample",
) -> Grid:
    """Sample k has its own streams of noise, so it depends on no other and on no batch size."""
    frames = frame_steps(settings)
    starts = range(0, settings.count, settings.batch_size)
    parts: list[tuple[Tensor, list[Tensor]]] = []
    with bar(settings.steps * len(starts), description) as progress:
        for start in starts:
            index = range(start, min(start + settings.batch_size, settings.count))
            kept: list[Tensor] = []

            def see(i: int, x: Tensor, kept: list[Tensor] = kept) -> None:
                progress.update()
                if i in frames:
                    kept.append(_grey(to_unit(x, real), data.levels))

            x = _integrate(
                Reverse(sde, in_float64(a), settings.lmbd),
                normal_per_example(index, data.shape, "sample", seed, "start").to(device),
                settings,
                noise_per_sample(index, "sample", seed, "steps"),
                see,
            )
            parts.append((to_unit(x, real), kept))
    x = torch.cat([x for x, _ in parts])
    film = [torch.cat(pictures) for pictures in zip(*(kept for _, kept in parts), strict=True)]
    empty = np.zeros((0, *x.shape), np.uint8)
    return Grid(
        _grey(x, data.levels).cpu().numpy(),
        torch.stack(film).cpu().numpy() if film else empty,
        int((x < 0).sum()),
        int((x > 1).sum()),
    )


def sample_trajectory(
    sde: VPSDE,
    a: Drift,
    lmbd: float,
    settings: Trajectory,
    seed: int = 0,
    device: str = "cpu",
    description: str = "trajectory",
) -> dict[int, np.ndarray]:
    """The states (samples, 2) float32 after the steps of the columns, strips and frames."""
    wanted = {*settings.columns, *settings.strip_columns, *frame_steps(settings)}
    kept: dict[int, list[np.ndarray]] = {i: [] for i in sorted(wanted)}
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
            _integrate(Reverse(sde, in_float64(a), lmbd), x, settings, noise_of(rng), keep)
    return {i: np.concatenate(parts) for i, parts in kept.items()}


def sample_points(
    sde: VPSDE, a: Drift, sampler: str, steps: int, lmbd: float, n: int, *keys: int | str
) -> np.ndarray:
    """n points (n, 2) float64 by `steps` steps of a sampler on its own grid, from N(0, I).

    Euler-Maruyama runs on the paper's even grid, the others on log SNR.
    """
    grid = "uniform" if sampler == "euler_maruyama" else "log_snr"
    rng = generator(*keys)
    x = torch.randn(n, 2, generator=rng, dtype=torch.float64)
    times = grid_of(grid, sde, steps)
    return sampler_of(sampler)(Reverse(sde, a, lmbd), x, times, noise_of(rng)).numpy()


def distance_rows(
    sde: VPSDE,
    a: Drift,
    draw: Callable[[int, torch.Generator], Tensor],
    settings: Distances,
    seed: int,
    description: str,
) -> list[dict]:
    """Distances of every lambda from the data and from lambda 0, as in the schema distances."""
    n, rng = settings.samples, np.random.default_rng(seed)
    data = draw(n, generator("distances data", seed)).double().numpy()
    cases = [(w, k, v) for w in settings.samplers for k in settings.steps for v in settings.lmbds]
    rows = []
    with bar(len(cases), description, unit="case") as progress:
        for sampler, steps, lmbd in cases:
            key = ("distances", seed, sampler, steps)
            x = sample_points(sde, a, sampler, steps, lmbd, n, *key, f"{lmbd:g}")
            zero = sample_points(sde, a, sampler, steps, 0.0, n, *key, "reference")
            for reference, y in (("data", data), ("lmbd 0", zero)):
                case = {"sampler": sampler, "lmbd": lmbd, "steps": steps, "reference": reference}
                compared = compare(x, y, rng, settings.permutations, settings.resamples)
                rows += [{**case, **row} for row in compared]
            progress.update()
    return rows


def _integrate(reverse, x, settings: Integration, noise, callback: Callable) -> Tensor:
    times = grid_of(settings.grid, reverse.sde, settings.steps)
    return sampler_of(settings.sampler)(reverse, x, times, noise, callback)


def _grey(x: Tensor, levels: int) -> Tensor:
    return (x * levels).floor().clamp(0, levels - 1).to(torch.uint8)


def histograms(states: dict[int, np.ndarray], bins: int, extent: float) -> dict[int, np.ndarray]:
    """Counts (bins, bins), first axis x, on [-extent, extent]^2, by step."""
    limits = [[-extent, extent]] * 2
    return {
        i: np.histogram2d(*x.T, bins=bins, range=limits)[0].astype(np.uint32)
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
