"""The marginal density of the plug-in reverse SDE as an expectation over forward paths.

Its density solves dp/dt = g^2 Laplacian(p) / 2 - mu . grad p - p div mu with mu = g a - f, so by
Feynman and Kac it is an expectation over paths of dY = -mu ds + g dB from Y_0 = x. By Girsanov the
paths may follow the forward SDE dY = f ds + g dB instead (arXiv 2106.02808):

    p(x) = E exp(R),   R = log p_0(Y_T) - int [ 1/2 ||a||^2 + div(g a - f) ] ds - int a . dB.

with the prior p_0 = N(0, prior_sd^2 I). By Jensen log p(x) >= E R, the ELBO; its gap is the
variance that R has at x, 0 at the true drift.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import sum_features


def log_weights(
    sde: SDE,
    a: Drift,
    div_a: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    times: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """R (B,) in nats of one path for each x (B, ...) float64, by steps along `times` (L + 1,), from
    0 up to T; a and div_a take (y, s) with s (B,).

    The states have their exact law. The integrals are trapezoids; that of a . dB minus its mean,
    which by Stein's identity is half the noise times div a, converges as fast as the other.
    """

    def at(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a, div a, and the integrand of ds."""
        a_y, div = a(y, s), div_a(y, s)
        integrand = sum_features(a_y.square()) / 2 + sde.g(s) * div - sde.div_f(s, y[0].numel())
        return a_y, div, integrand

    y, R = x, torch.zeros(len(x), dtype=torch.float64)
    before = at(y, times[0].expand(len(x)))
    for low, high in pairwise(times):
        xi = torch.randn(y.shape, generator=generator, dtype=y.dtype)
        scale = sde.m(high) / sde.m(low)
        noise = (sde.var(high) - scale.square() * sde.var(low)).sqrt()
        y = scale * y + noise * xi
        after = at(y, high.expand(len(x)))
        h = float(high - low)
        R = R - h / 2 * (before[2] + after[2])
        a_dB = math.sqrt(h) * (sum_features((before[0] + after[0]) * xi) - noise * after[1])
        R = R - a_dB / 2
        before = after
    return R + sde.prior_log_prob(y)
