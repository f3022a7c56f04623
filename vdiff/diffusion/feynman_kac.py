"""The marginal density of the plug-in reverse SDE as an expectation over forward paths.

Its density solves dp/dt = g^2 Laplacian(p) / 2 - mu . grad p - p div mu with mu = g a - f, so by
Feynman and Kac it is an expectation over paths of dY = -mu ds + g dB from Y_0 = x. By Girsanov the
paths may follow the forward SDE dY = f ds + g dB instead (arXiv 2106.02808):

    p(x) = E exp(R),   R = log N(Y_T; 0, I) - int [ 1/2 ||a||^2 + div(g a - f) ] ds - int a . dB.

By Jensen log p(x) >= E R, the ELBO; its gap is the variance that R has at x, 0 at the true drift.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like, sum_features


def log_weights(
    sde: SDE,
    a: Drift,
    div_a: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    times: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """R (B,) in nats of one path for each x (B, ...) float64, by Euler-Maruyama steps along
    `times` (L + 1,), from 0 up to T; a and div_a take (y, s) with s (B,)."""
    y, R = x, torch.zeros(len(x), dtype=torch.float64)
    for low, high in pairwise(times):
        h, s = float(high - low), low.expand(len(x))
        dB = math.sqrt(h) * torch.randn(y.shape, generator=generator, dtype=y.dtype)
        a_y, g = a(y, s), sde.g(s)
        R = R - h * (sum_features(a_y.square()) / 2 + g * div_a(y, s) - sde.div_f(s, y[0].numel()))
        R = R - sum_features(a_y * dB)
        y = y + h * sde.f(y, s) + expand_like(g, y) * dB
    return R + sde.prior_log_prob(y)


def log_density(R: Tensor) -> tuple[Tensor, Tensor]:
    """(log of the mean of exp R, its standard error by the delta method), (B,), of R (paths, B)."""
    n = len(R)
    top = R.max(0).values
    w = (R - top).exp()
    return top + w.mean(0).log(), w.std(0) / w.mean(0) / n**0.5
