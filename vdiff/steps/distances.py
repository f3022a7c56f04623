"""Distances of samples to the data, by sampler, lambda and steps."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import product

import numpy as np
import torch
from torch import Tensor

from vdiff.config import Distances
from vdiff.config.fields import number
from vdiff.diffusion.drift import Drift, in_chunks, in_float64
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.samplers import sampler_of
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.stepping import noise_of
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.stats.distances import sliced_wasserstein
from vdiff.steps import Measured, faults
from vdiff.trained import Trained

JUDGED = "euler_maruyama"  # the sampler of the claim
CHUNK = 1000  # points at once: the activations of an MLP stay in the cache
Sample = Callable[[int, torch.Generator], Tensor]


def sample_points(
    sde: SDE,
    a: Drift,
    sampler: str,
    steps: int,
    lmbd: float,
    n: int,
    *keys: int | str,
    device: str = "cpu",
) -> np.ndarray:
    """n points (n, 2) float64 by `steps` steps of a sampler on its own grid, from the prior.

    The drift is on `device`. Euler-Maruyama runs on the paper's even grid, the others on log SNR.
    """
    grid = "uniform" if sampler == "euler_maruyama" else "log_snr"
    rng = generator(*keys)
    x = sde.prior_sd * torch.randn(n, 2, generator=rng, dtype=torch.float64)
    times = grid_of(grid, sde, steps)
    x = x.to(device)
    return sampler_of(sampler)(Reverse(sde, a, lmbd), x, times, noise_of(rng), None).cpu().numpy()


def distance_rows(
    sde: SDE,
    a: Drift,
    sample: Sample,
    settings: Distances,
    seed: int,
    name: str,
    device: str = "cpu",
) -> list[dict]:
    """Distances of every lambda from the data, as in the schema distances."""
    n, rng = settings.samples, np.random.default_rng(seed)
    data = sample(n, generator("distances data", seed)).double().numpy()
    cases = list(product(settings.samplers, settings.steps))
    rows = []
    with bar(len(cases) * len(settings.lmbds), name, unit="case") as progress:
        for sampler, steps in cases:
            for lmbd in settings.lmbds:
                key = ("distances", seed, sampler, steps, number(lmbd))
                x = sample_points(sde, a, sampler, steps, lmbd, n, *key, device=device)
                distance = sliced_wasserstein(
                    x, data, rng, settings.permutations, settings.resamples
                )
                case = {"sampler": sampler, "steps": steps, "lmbd": lmbd, "samples": n}
                rows.append({**case, **asdict(distance)})
                progress.update()
    return rows


def measure(model: Trained, settings: Distances, source: str) -> Measured:
    """source: "exact", a mixture of Gaussians with its true drift, or "learned", the network."""
    a: Drift
    sample: Sample
    if source == "exact":
        mixture = Mixture.spiral(model.sde)
        a, sample, device = mixture.a, mixture.sample, "cpu"
    else:
        a = in_float64(in_chunks(model.drift(), CHUNK))
        sample, device = model.data.sample, model.device
    name = f"distances {source}"
    rows = distance_rows(model.sde, a, sample, settings, model.run.seed, name, device)
    labelled = [{"source": source, "fault": faults.NONE, **row} for row in rows]
    if source == "exact":
        labelled += [{"source": source, **row} for row in _without_half(model, a, sample, settings)]
    return Measured({"out": labelled})


def _without_half(model: Trained, a: Drift, sample: Sample, settings: Distances) -> Iterator[dict]:
    """Rows of the members whose drift lacks its factor 1 - lmbd/2, as the claim is judged."""
    for lmbd in settings.lmbds:
        if lmbd != 0:
            wrong = faults.scaled(a, 1 / (1 - lmbd / 2))
            case = {"lmbds": [lmbd], "steps": [max(settings.steps)], "samplers": [JUDGED]}
            only = settings.model_copy(update=case)
            rows = distance_rows(model.sde, wrong, sample, only, model.run.seed, faults.NO_HALF)
            yield from ({"fault": faults.NO_HALF, **row} for row in rows)


def cost(settings: Distances, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    # The exact source runs no network.
    return len(settings.lmbds) * len(settings.samplers) * settings.samples * sum(settings.steps)
