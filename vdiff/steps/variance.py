"""Where in time the ELBO estimators have their variance, and the gradients of training."""

import math
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import torch

from vdiff.config import Variance
from vdiff.diffusion.control import efficient, fit_controls
from vdiff.diffusion.drift import Drift, in_chunks, on_device
from vdiff.diffusion.elbo import paper
from vdiff.diffusion.fitted import SLICES
from vdiff.diffusion.reference import GaussianReference
from vdiff.machine.seeds import generator
from vdiff.stats.intervals import GROUPS, std_err
from vdiff.stats.tails import tail_of
from vdiff.steps import BACKWARD, Measured
from vdiff.steps.evaluate import reference_of
from vdiff.steps.gradient import gradient_rows, in_a_group
from vdiff.trained import Trained, final

BINS = 24  # of time


def variance_in_time(
    model: Trained, a: Drift, reference: GaussianReference, settings: Variance
) -> list[dict]:
    """Rows of the schema variance_time: each estimator's variance, cut up by the time it drew.

    One draw per example, times independent. `variance` of a bin is the mean of (z - mean)^2 over
    all draws with s in it counted, others as 0, in (bits/dim)^2: the bins add up to the variance.
    """
    rows, edges = [], np.concatenate([[0], np.geomspace(1e-5, 1, BINS)]) * model.sde.T
    for estimator, (s, z) in _draws(model, a, reference, settings).items():
        z = z / (model.dims * math.log(2))
        square = np.square(z - z.mean())
        for low, high in pairwise(edges):
            inside = (s > low) & (s <= high)
            part = square * inside
            rows.append(
                {
                    "estimator": estimator,
                    "time_low": low,
                    "time_high": high,
                    "draws": int(inside.sum()),
                    "variance": float(part.mean()),
                    "variance_std_err": std_err(part),
                    **asdict(tail_of(part - part.mean())),
                }
            )
    return rows


def _draws(
    model: Trained, a: Drift, reference: GaussianReference, settings: Variance
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Estimator to times and values in nats, (n,) each."""
    sde, sample = model.sde, model.data.sample
    rng = generator("variance in time", model.run.seed)
    chunked = in_chunks(a, settings.batch_size)
    controls = fit_controls(chunked, sample(settings.pilot, rng), reference, rng, model.eps_t)
    by_estimator: dict[str, tuple[list, list]] = {"published": ([], []), "efficient": ([], [])}
    for start in range(0, settings.draws, settings.batch_size):
        size = min(settings.batch_size, settings.draws - start)
        x = sample(size, rng)
        eps, eps_T, probe = (torch.randn(x.shape, generator=rng) for _ in range(3))
        u = torch.rand(size, generator=rng, dtype=torch.float64)
        z = paper(sde, a, x, sde.T * u, eps, eps_T, probe.sign()).value
        by_estimator["published"][0].append(sde.T * u)
        by_estimator["published"][1].append(z.double())
        with torch.no_grad():
            z = efficient(a, x, u, eps, controls).value
        by_estimator["efficient"][0].append(controls.law.icdf(u))
        by_estimator["efficient"][1].append(z.double())
    return {k: (torch.cat(s).numpy(), torch.cat(z).numpy()) for k, (s, z) in by_estimator.items()}


def measure(model: Trained, settings: Variance) -> Measured:
    """Gradients along training, from the first interval, while they are large; then times."""
    last = len(model.snapshots) - 1
    gradients = []
    first = min(1, last)
    chosen = np.linspace(last if settings.checkpoints == 1 else first, last, settings.checkpoints)
    for k in sorted(set(chosen.round().astype(int))):
        snapshot = model.snapshots[k]
        a = model.drift(snapshot, in_training=True)
        name = f"gradient {model.run.label} at {snapshot.iteration}"
        rows = gradient_rows(model, a, settings, name)
        gradients += [{"iteration": snapshot.iteration, **row} for row in rows]
    reference, a = reference_of(model.sde, model.data), on_device(final(a, model.run), model.device)
    return Measured({"out": variance_in_time(model, a, reference, settings), "gradient": gradients})


def cost(settings: Variance, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    measured = min(settings.checkpoints, max(snapshots - 1, 1))
    batches = GROUPS * in_a_group(settings)
    gradients = measured * SLICES * (1 + BACKWARD) * batches * settings.batch_size
    return settings.draws * (2 + BACKWARD) + settings.pilot + gradients
