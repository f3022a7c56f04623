"""Where variance comes from: of the ELBO estimators in time, and of the training gradient.

The gradient of the negative ELBO is G = int g^2/sigma^2 E[grad loss] ds over all of [0, T]. DSM at
uniform times estimates another integral (bias), with what noise its law gives it (variance):

    uniform           s ~ U[0, T], weight 1: the usual training, biased
    uniform weighted  s ~ U[0, T], weight T g^2/sigma^2: unbiased, and noisy
    debiased          s ~ q, weight the normaliser of q: unbiased but for the truncation at eps_t
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from vdiff.control import GaussianReference, efficient, fit_plan
from vdiff.dsm import dsm_loss
from vdiff.elbo import published
from vdiff.evaluate import in_chunks
from vdiff.progress import bar
from vdiff.reverse import Drift
from vdiff.sde import VPSDE
from vdiff.seeds import generator
from vdiff.times import Debiased, Uniform

Draw = Callable[[int, torch.Generator], Tensor]


def variance_in_time(
    sde: VPSDE,
    a: Drift,
    draw: Draw,
    reference: GaussianReference,
    bpd_per_nat: float,
    n: int,
    pilot: int,
    seed: int,
    eps_t: float,
    batch_size: int,
    bins: int = 24,
) -> list[dict]:
    """Rows of the schema variance_time: each estimator's variance, cut up by the time it drew.

    One draw an example, times independent. `variance` of a bin is the mean of (z - mean)^2 over
    all draws with s in it counted, others as 0, in (bits/dim)^2: the bins add up to the variance.
    batch_size examples meet the network at once.
    """
    rng = generator("variance in time", seed)
    chunked = in_chunks(a, batch_size, "cpu")
    plan = fit_plan(sde, chunked, draw(pilot, rng), reference, rng, eps_t=eps_t)
    edges = np.concatenate([[0], np.geomspace(1e-5, 1, bins)]) * sde.T
    found: dict[str, tuple[list, list]] = {"published": ([], []), "efficient": ([], [])}
    for start in range(0, n, batch_size):
        size = min(batch_size, n - start)
        x = draw(size, rng)
        eps, eps_T, probe = (torch.randn(x.shape, generator=rng) for _ in range(3))
        u = torch.rand(size, generator=rng, dtype=torch.float64)
        s = sde.T * u
        z = published(sde, a, x, s, eps, eps_T, probe.sign()).value
        found["published"][0].append(s)
        found["published"][1].append(z.double())
        with torch.no_grad():
            z = efficient(a, x, u, eps, plan).value
        found["efficient"][0].append(plan.law.icdf(u))
        found["efficient"][1].append(z.double())
    rows = []
    for estimator, (times, values) in found.items():
        s, z = torch.cat(times).numpy(), bpd_per_nat * torch.cat(values).numpy()
        square = np.square(z - z.mean())
        for low, high in pairwise(edges):
            inside = (s > low) & (s <= high)
            rows.append(
                {
                    "estimator": estimator,
                    "time_low": low,
                    "time_high": high,
                    "draws": int(inside.sum()),
                    "variance": float((square * inside).mean()),
                    "variance_std_err": float((square * inside).std(ddof=1) / len(z) ** 0.5),
                }
            )
    return rows


def gradient_rows(
    sde: VPSDE,
    network: nn.Module,
    a: Drift,
    draw: Draw,
    batches: int,
    batch_size: int,
    seed: int,
    eps_t: float,
    description: str = "gradient",
) -> list[dict]:
    """Rows of the schema gradient, for the law of each estimator in the module's docstring.

    cosine: between the mean gradient and G, 1 for a gradient unbiased up to scale;
    relative_bias: ||mean - G|| / ||G|| at the best scale, sqrt(1 - cosine^2);
    relative_variance: E ||gradient of one batch - mean||^2 / ||mean||^2. Norms are unbiased, from
    products of independent batches; standard errors by jackknife over ten groups of them.
    """
    full = Debiased(sde, eps_t, tail=0.5)  # weighted by 1/q: G, with finite variance
    laws = {
        "truth": (full, lambda s: sde.beta(s) / sde.var(s) / full.density(s)),
        "uniform": (Uniform(sde.T), torch.ones_like),
        "uniform_weighted": (Uniform(sde.T), lambda s: sde.T * sde.beta(s) / sde.var(s)),
        "debiased": (Debiased(sde, eps_t), torch.ones_like),
    }
    parameters = [p.requires_grad_() for p in network.parameters()]
    groups = 10
    per_group = max(2, batches // groups)
    rows = []
    with bar(len(laws) * groups * per_group, description) as progress:
        for name, (law, weight) in laws.items():
            rng = generator("gradient", seed, name)
            total = torch.zeros(groups, sum(p.numel() for p in parameters), dtype=torch.float64)
            square = np.zeros(groups)
            for i in range(groups * per_group):
                x = draw(batch_size, rng)
                s = law.sample(batch_size, rng)
                eps = torch.randn(x.shape, generator=rng)
                loss = (weight(s) * dsm_loss(sde, a, x, s, eps)).mean()
                gradient = torch.autograd.grad(loss, parameters)
                flat = torch.cat([g.flatten() for g in gradient]).double().cpu()
                total[i % groups] += flat
                square[i % groups] += float(flat @ flat)
                progress.update()
            if name == "truth":
                truth = total, square
                continue
            row = _jackknife(total, square, *truth, per_group)
            count = groups * per_group
            rows.append({"law": name, "batches": count, "batch_size": batch_size, **row})
    return rows


def _jackknife(S: Tensor, Q: np.ndarray, G: Tensor, R: np.ndarray, size: int) -> dict:
    """Value and error of each column; NaN where noise drowns a gradient."""

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

    groups = len(Q)
    everything = np.ones(groups, bool)
    value = statistics(everything)
    parts = np.array([statistics(np.arange(groups) != k) for k in range(groups)])
    error = np.sqrt((groups - 1) / groups * np.square(parts - parts.mean(0)).sum(0))
    names = ("cosine", "relative_bias", "relative_variance")
    row = dict(zip(names, value.tolist(), strict=True))
    return row | {f"{k}_std_err": e for k, e in zip(names, error.tolist(), strict=True)}
