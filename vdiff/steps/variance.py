"""Where variance comes from: of the ELBO estimators in time, and of the training gradient.

The gradient of the negative ELBO is G = int g^2/sigma^2 E[grad loss] ds over all of [0, T]. DSM at
uniform times estimates another integral (bias), with what noise its law gives it (variance):

    uniform           s ~ U[0, T], weight 1: the usual training, biased
    uniform_weighted  s ~ U[0, T], weight T g^2/sigma^2: unbiased, and noisy
    debiased          s ~ q, weight the normaliser of q: unbiased but for the truncation at eps_t
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vdiff.config import Variance
from vdiff.diffusion.control import GaussianReference, efficient, fit_controls
from vdiff.diffusion.drift import Drift, in_chunks, on_device
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.elbo import published
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.times import Debiased, TimeLaw, Uniform
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.model import Model
from vdiff.stats.intervals import GROUPS, jackknife, leave_one_out, std_err
from vdiff.stats.tails import tail_of
from vdiff.steps import Measured
from vdiff.steps.evaluate import reference_of

BINS = 24  # of time


def variance_in_time(
    model: Model, a: Drift, reference: GaussianReference, settings: Variance
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
    model: Model, a: Drift, reference: GaussianReference, settings: Variance
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Estimator to times and values in nats, (n,) each."""
    sde, draw = model.sde, model.data.draw
    rng = generator("variance in time", model.run.seed)
    chunked = in_chunks(a, settings.batch_size)
    controls = fit_controls(chunked, draw(settings.pilot, rng), reference, rng, model.eps_t)
    found: dict[str, tuple[list, list]] = {"published": ([], []), "efficient": ([], [])}
    for start in range(0, settings.draws, settings.batch_size):
        size = min(settings.batch_size, settings.draws - start)
        x = draw(size, rng)
        eps, eps_T, probe = (torch.randn(x.shape, generator=rng) for _ in range(3))
        u = torch.rand(size, generator=rng, dtype=torch.float64)
        z = published(sde, a, x, sde.T * u, eps, eps_T, probe.sign()).value
        found["published"][0].append(sde.T * u)
        found["published"][1].append(z.double())
        with torch.no_grad():
            z = efficient(a, x, u, eps, controls).value
        found["efficient"][0].append(controls.law.icdf(u))
        found["efficient"][1].append(z.double())
    return {k: (torch.cat(s).numpy(), torch.cat(z).numpy()) for k, (s, z) in found.items()}


Weight = Callable[[Tensor], Tensor]


def _laws(sde: SDE, eps_t: float) -> dict[str, tuple[TimeLaw, Weight]]:
    """Laws of time with their weights; "truth" is G itself, with finite variance."""
    full = Debiased(sde, eps_t, tail=0.5)
    return {
        "truth": (full, lambda s: sde.weight(s) / full.density(s)),
        "uniform": (Uniform(sde.T), torch.ones_like),
        "uniform_weighted": (Uniform(sde.T), lambda s: sde.T * sde.weight(s)),
        "debiased": (Debiased(sde, eps_t), torch.ones_like),
    }


def gradient_rows(model: Model, a: Drift, settings: Variance, name: str = "gradient") -> list[dict]:
    """Rows of the schema gradient, for the law of each estimator in the module's docstring.

    cosine: between the mean gradient and G, 1 for a gradient unbiased up to scale;
    relative_bias: ||mean - G|| / ||G|| at the best scale, sqrt(1 - cosine^2);
    relative_variance: E ||gradient of one batch - mean||^2 / ||mean||^2. Norms are unbiased, from
    products of independent batches; standard errors by jackknife over ten groups of them.
    """
    laws = _laws(model.sde, model.eps_t)
    per_group = max(2, settings.batches // GROUPS)
    parameters = list(model.network.parameters())
    before = [p.requires_grad for p in parameters]
    found = {}
    try:
        model.network.requires_grad_(True)
        with bar(len(laws) * GROUPS * per_group, name) as progress:
            for law_name, (law, weight) in laws.items():
                rng = generator("gradient", model.run.seed, law_name)

                def gradient(law=law, weight=weight, rng=rng) -> Tensor:
                    x = model.data.draw(settings.batch_size, rng)
                    s = law.sample(len(x), rng)
                    eps = torch.randn(x.shape, generator=rng)
                    loss = (weight(s) * dsm_loss(model.sde, a, x, s, eps)).mean()
                    progress.update()
                    parts = torch.autograd.grad(loss, parameters)
                    return torch.cat([g.flatten() for g in parts]).double().cpu()

                found[law_name] = _grouped(gradient, per_group)
    finally:
        for p, needed in zip(parameters, before, strict=True):
            p.requires_grad_(needed)
    truth = found.pop("truth")
    count = {"batches": GROUPS * per_group, "batch_size": settings.batch_size}
    return [{"law": k, **count, **_compared(*v, *truth, per_group)} for k, v in found.items()]


def _grouped(gradient: Callable[[], Tensor], per_group: int) -> tuple[Tensor, np.ndarray]:
    """Sums of gradients (GROUPS, P) and of their squared norms (GROUPS,)."""
    sums, squares = None, np.zeros(GROUPS)
    for i in range(GROUPS * per_group):
        flat = gradient()
        if sums is None:
            sums = torch.zeros(GROUPS, len(flat), dtype=torch.float64)
        sums[i % GROUPS] += flat
        squares[i % GROUPS] += float(flat @ flat)
    assert sums is not None
    return sums, squares


def _compared(S: Tensor, Q: np.ndarray, G: Tensor, R: np.ndarray, size: int) -> dict:
    """Value and jackknife error of each column; NaN where noise drowns a gradient."""

    def statistics(keep: np.ndarray) -> np.ndarray:
        n = keep.sum() * size
        total, truth = S[keep].sum(0), G[keep].sum(0)
        # ||sum||^2 less the squares of single batches leaves products of independent ones.
        norm2 = (float(total @ total) - Q[keep].sum()) / (n * (n - 1))
        truth2 = (float(truth @ truth) - R[keep].sum()) / (n * (n - 1))
        if norm2 <= 0 or truth2 <= 0:
            return np.full(3, np.nan)
        cosine = float(total @ truth) / n**2 / (norm2 * truth2) ** 0.5
        variance = (Q[keep].sum() / n - float(total @ total) / n**2) * n / (n - 1)
        return np.array([cosine, np.sqrt(max(1 - cosine**2, 0)), variance / norm2])

    value = statistics(np.ones(GROUPS, bool))
    error = jackknife(leave_one_out(GROUPS, statistics))
    names = ("cosine", "relative_bias", "relative_variance")
    row = dict(zip(names, value.tolist(), strict=True))
    return row | {f"{k}_std_err": e for k, e in zip(names, error.tolist(), strict=True)}


def measure(model: Model, settings: Variance) -> Measured:
    """Gradients after the first interval, while they are large, and at the end; then times."""
    last = len(model.snapshots) - 1
    gradients = []
    for k in sorted({min(1, last), last}):
        snapshot = model.snapshots[k]
        a = on_device(model.drift(snapshot), model.device)
        name = f"gradient {model.run.label} at {snapshot.iteration}"
        rows = gradient_rows(model, a, settings, name)
        gradients += [{"iteration": snapshot.iteration, **row} for row in rows]
    reference = reference_of(model.sde, model.data)
    return Measured({"out": variance_in_time(model, a, reference, settings), "gradient": gradients})
