"""The ELBO of the hierarchical VAE that a reverse SDE becomes in L steps.

Latents are the states at times 0 = t_0 < t_1 < ... < t_L = T, with y_0 = x. The posterior is the
forward SDE's own, q(y_{i+1} | y_i); the prior is p_0 = N(0, prior_sd^2 I); layer i decodes by one
Euler step, p(y_i | y_{i+1}) = N(y_{i+1} + h (g a - f), h g^2 I) with h = t_{i+1} - t_i at
y_{i+1}, t_{i+1}.

log p(x) >= E log p_0(y_T) + ... = -prior KL - sum_{i >= 1} E KL_i + E log p(x | y_1),

whose limit as L grows is the ELBO of `elbo` (arXiv 2106.02808: an infinitely deep hierarchical
VAE). Every term is Gaussian given x and y_{i+1}: no layer's own noise is left.
"""

import math

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE, at
from vdiff.diffusion.tensors import expand_like, sum_features


def layer_term(
    sde: SDE, a: Drift, x: Tensor, low: Tensor, high: Tensor, eps: Tensor, first: bool
) -> Tensor:
    """The cost in nats of the layer between times low and high, (B,); x and eps (B, ...).

    KL(q(y_low | y_high, x) || p(y_low | y_high)), or -log p(x | y_high) of the first, where
    low = 0. y_high = m x + sigma eps.
    """
    d = x[0].numel()
    y = sde.perturb(x, high, eps)
    h = high - low
    drift = expand_like(sde.g(high).to(x.dtype), x) * a(y, high.to(x.dtype))
    mean_p = y + expand_like(h.to(x.dtype), x) * (drift - sde.f(y, high.to(x.dtype)))
    var_p = h * sde.g2(high)

    scale = sde.m(high) / sde.m(low)
    var_low, var_high = sde.var(low), sde.var(high)
    gain = scale * var_low / var_high  # of y_high on the posterior mean
    var_q = var_low * (var_high - scale.square() * var_low) / var_high
    mean_q = expand_like((sde.m(low) - gain * sde.m(high)).to(x.dtype), x) * x
    mean_q = mean_q + expand_like(gain.to(x.dtype), x) * y

    square = sum_features((mean_q - mean_p).square()).double() / var_p
    if first:  # the posterior is x itself
        return (d * torch.log(2 * math.pi * var_p) + square) / 2
    ratio = var_q / var_p
    return (d * (ratio - 1 - ratio.log()) + square) / 2


def prior_kl(sde: SDE, x: Tensor) -> Tensor:
    """KL of q(y_T | x) from the prior, (B,), in nats."""
    entropy = x[0].numel() / 2 * (torch.log(2 * math.pi * sde.var(at(sde.T))) + 1)
    return -sde.expected_prior(x) - entropy


def hierarchical(sde: SDE, a: Drift, x: Tensor, times: Tensor, eps: Tensor) -> Tensor:
    """The ELBO of the L layers between `times` (L + 1,), ascending from 0, summed over all layers.

    x (B, ...), eps (L, B, ...): one noise per layer; to (B,), nats.
    """
    total = -prior_kl(sde, x)
    for i in range(len(times) - 1):
        low, high = (times[k].expand(len(x)) for k in (i, i + 1))
        total = total - layer_term(sde, a, x, low, high, eps[i], first=i == 0)
    return total
