"""Draws of the terms of DDPM's chain (`vdiff.diffusion.chain`), and what is taken out of them.

The first step's are on their own: its decoder's term does not join onto the others. Of the others a
step is drawn with probability q_t, in strata, and its term, over q_t, has the fluctuations of mean
0 taken away that the control variates know of: those of 1/2 ||eps - eps-hat||^2. q_t goes with the
term that is expected of an example.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.chain import VARIANCES, Chain, prior_kl, unlike
from vdiff.diffusion.control import ControlVariates
from vdiff.diffusion.decoders import discretised_gaussian
from vdiff.diffusion.drift import Drift, checked
from vdiff.diffusion.sdes.table import TableSDE
from vdiff.diffusion.tensors import expand_like, sum_features
from vdiff.diffusion.times import slice_of
from vdiff.errors import VdiffError
from vdiff.likelihood.bound import times_of_one
from vdiff.likelihood.noise import Streams
from vdiff.likelihood.space import Space
from vdiff.stats.few import EACH

if TYPE_CHECKING:
    from vdiff.likelihood.model import Model

FLOOR = 0.1  # the share of steps drawn as if eps-hat were 0


def weights(chain: Chain, variance: str) -> tuple[Tensor, Tensor]:
    """Of each step (N,): what 1/2 ||eps - eps-hat||^2 counts for in its term, and what the term has
    in a dimension beside that; 0 for the first step. A learned variance is taken to be the small
    one."""
    log_v = chain.log_v("small" if variance == "learned" else variance, torch.arange(len(chain.s)))
    w = torch.expm1(chain.H) * (chain.log_small - log_v).exp()
    w[0] = 0
    return w, unlike(chain.log_small, log_v)


def probabilities(chain: Chain, w: Tensor, controls: ControlVariates) -> tuple[Tensor, Tensor]:
    """q (N,), by the loss of an example one deviation off the reference's mean: half of the steps
    as the fit expects it, the others as that of the best linear denoiser, but for FLOOR. And what
    the terms are expected to be, (N,) nats: without that the few draws of steps that cost nothing
    would be far from all others."""
    reference, sde = controls.reference, chain.sde
    z, s = reference.eigenvalues.sqrt()[None], chain.s.to(reference.eigenvalues)
    h_bar = torch.cat([reference.h_bar(z, s_t[None]) for s_t in s])
    k = slice_of(controls.base, s, len(controls.c_bar))
    h = controls.c_bar[k] * h_bar + controls.c_level[k] * controls.base.density(s)
    each = [w]
    for of_h in (h, h_bar):
        share = (1 + 2 * of_h / sde.weight(s) / z.numel()).cpu().clamp(0, 1)
        each.append(w * share)
    every, own, linear = (v / v.sum().clamp(min=1e-300) for v in each)
    q = FLOOR * every + (1 - FLOOR) * (own + linear) / 2
    return q, z.numel() / 2 * torch.minimum(*each[1:])


def fluctuation(controls: ControlVariates, x: Tensor, s: Tensor, eps: Tensor) -> Tensor:
    """What the controls know of 1/2 ||eps - eps-hat||^2 less its mean given (s, x), (B,)."""
    reference, base = controls.reference, controls.base
    s = s.to(reference.eigenvalues)
    z, e = reference.coordinates(x.to(s.device), eps.to(s.device))
    c = controls.c[slice_of(base, s, len(controls.c_bar))]
    linear, quadratic = reference.fluctuations(z, e, s)
    white = sum_features(e.square() - 1) / 2
    of_h = c[:, 0] * linear + c[:, 1] * quadratic + c[:, 2] * base.unnormalized(s) * white
    return (of_h / reference.sde.weight(s) + white).cpu()


def terms(
    model: "Model",
    chain: Chain,
    a: Drift,
    x: Tensor,
    y: Tensor,
    k: Tensor,
    eps: Tensor,
    variance: str,
    clip: bool,
) -> Tensor:
    """The term of step k + 1 for levels x (B, ...), vectors y and noise eps (float64), k (B,): of
    L_0 or L_t-1 one draw, (B,) nats."""
    sde, space, s = chain.sde, model.space, chain.s[k]
    assert isinstance(space, Space) and space.levels is not None
    y_s = sde.perturb(y, s, eps)
    m, weight = (expand_like(v, y) for v in (sde.m(s), sde.var(s) / sde.g(s)))
    xhat = (y_s + weight * checked(a)(y_s, s)) / m
    if clip:
        xhat = xhat.clamp(*space.value(torch.tensor([0.5, space.levels - 0.5])))
    learned = model.learned() if variance == "learned" else None
    log_v = chain.log_v(variance, k, None if learned is None else learned.to(y))
    term, first = chain.kl(k, y - xhat, log_v), k == 0
    own = (expand_like(log_v, y) if log_v.ndim == 1 else log_v).expand_as(y)[first]
    edges = space.value(torch.arange(1, space.levels))
    term[first] = -discretised_gaussian(x[first], xhat[first], own, edges)
    return term


@torch.no_grad()
def draws_of(
    model: "Model",
    x: Tensor,
    condition: Any,
    variance: str,
    draws: int | None,
    clip: bool,
    batch_size: int,
    seed: int,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """z (N, draws) nats of grey levels x (N, ...), by a model at their centres, and the stratum of
    each column; the mean over strata of their means has the chain's bound as its mean. draws: None
    for every step twice."""
    sde, space, controls = model.sde, model.space, model._controls(condition, batch_size)
    assert isinstance(sde, TableSDE)
    chain = Chain.of(sde)
    w, beside = weights(chain, variance)
    beside = beside * space.d
    steps, first = len(w) - 1, EACH if draws is None else max(EACH, draws // 4)
    if draws is None:
        where = torch.arange(steps).repeat_interleave(2)
        q, fixed = torch.full_like(w, 1 / steps), where + 1
    else:
        where, _ = times_of_one(draws - first)
        q, expected = probabilities(chain, w, controls)
        beside, fixed = beside + expected, None
    strata, cdf = int(where[-1]) + 1, q.cumsum(0)
    where = torch.cat([torch.zeros(first, dtype=where.dtype), where + 1])
    noise, parts = Streams(x, "chain", seed, earlier=model.earlier), []
    for b in model._batches(x, condition, len(where), batch_size, "chain", seed, progress):
        at_first = b.draw < first
        u = (where[b.draw] - 1 + noise.uniform(b.of, (), "steps")) / strata
        k = torch.searchsorted(cdf, u.contiguous(), right=True).clamp(1, steps)
        k = torch.where(at_first, 0, k if fixed is None else fixed[(b.draw - first).clamp(min=0)])
        y = b.y.double()
        eps = noise.normal(b.of, space.shape, "eps", torch.float64)
        cost = terms(model, chain, b.a, b.x, y, k, eps, variance, clip)
        known = w[k] * fluctuation(controls, b.y, chain.s[k], eps) + beside[k]
        scale = torch.where(at_first, strata + 1, (strata + 1) / strata / q[k])
        cost = (cost - torch.where(at_first, 0, known)) * scale
        parts.append(cost + beside.sum() + prior_kl(sde, y))
    return -torch.cat(parts).reshape(len(x), len(where)).numpy(), where.numpy()


def check_chain(model: "Model", variance: str, draws: int | None) -> None:
    """Raise VdiffError where `Model.chain` cannot be asked so."""
    if variance not in VARIANCES:
        raise VdiffError(f"variance is {variance!r}; it must be one of {', '.join(VARIANCES)}.")
    if not isinstance(model.sde, TableSDE):
        raise VdiffError(
            f"The schedule is {type(model.sde).__name__}; a chain needs a table of steps, such as "
            "ddpm-linear."
        )
    if draws is not None and draws < 2 * EACH:
        raise VdiffError(f"draws is {draws}; it must be at least {2 * EACH}, or None.")
