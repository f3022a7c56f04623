"""Unbiased estimates of the likelihood of the model that L steps of the sampler `exponential` are.

Latents are the states at times 0 = t_0 < t_1 < ... < t_L = T with y_0 = x; the prior is
N(0, prior_sd^2 I). The decoder is DDPM's (arXiv 2006.11239, `denoise` at lmbd = 0), and the last
layer's is a Gaussian around what the drift takes the example for:

    p(y_i | y_i+1) = q(y_i | y_i+1, x = xhat(y_i+1)),
    p(x | y_1) = N(xhat(y_1), sigma^2 / m^2 I) at t_1.

With y drawn from the forward SDE, q(y_i+1 | y_i), the weight

    w = p(y_L) prod_i p(y_i | y_i+1) / q(y_i+1 | y_i)

has the mean p(x) whatever the drift. So log(1/K sum_k w_k) lies below log p(x) in the mean and
rises to it with K (importance-weighted autoencoders, arXiv 1509.00519); K = 1 is the ELBO of these
layers. The grey levels of an image have as their probability the integral of p over their cell:
draw x uniformly in the cell, multiply w by its volume, and the same holds for that probability
(arXiv 1511.01844 has K = 1).
"""

import math
from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

from vdiff.diffusion.denoise import Step, xhat
from vdiff.diffusion.drift import Drift
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import sum_features


def log_weight(
    sde: SDE, a: Drift, x: Tensor, times: Tensor, noise: Callable[[Tensor], Tensor]
) -> Tensor:
    """log w of one path for each x (B, ...), (B,) nats; float64 if x is.

    times (L + 1,) descend from T to 0; noise gives a standard normal like its argument, once per
    layer, from the data on.
    """
    reverse, total, y = Reverse(sde, a, 0.0), x.new_zeros(len(x)), x
    for i, (low, high) in enumerate(pairwise(times.flip(0))):
        z = noise(y)
        scale = sde.m(high) / sde.m(low)
        spread = sde.m(high) * (_nsr(sde, high) - _nsr(sde, low)).sqrt()
        above = float(scale) * y + float(spread) * z
        denoised = xhat(reverse, above, high.expand(len(x)).to(x))
        if i == 0:
            mean, sd = denoised, float(_nsr(sde, high).sqrt())
        else:
            step = Step.between(reverse, high, low)
            mean, sd = step.move(above, denoised, None), step.sd
        total = total + _log_normal((y - mean) / sd, sd) - _log_normal(z, float(spread))
        y = above
    return total + sde.prior_log_prob(y)


def log_mean_exp(log_w: Tensor, k: int) -> Tensor:
    """The bound by k draws, (K // k, B) from log weights (K, B): one for each group of k draws."""
    groups = log_w[: len(log_w) // k * k].unflatten(0, (-1, k))
    return groups.logsumexp(1) - math.log(k)


def _nsr(sde: SDE, s: Tensor) -> Tensor:
    return sde.log_nsr(s).exp()


def _log_normal(z: Tensor, sd: float) -> Tensor:
    """log density of N(mean, sd^2 I) at mean + sd z, (B,)."""
    d = z[0].numel()
    return -sum_features(z.square()) / 2 - d * (math.log(sd) + math.log(2 * math.pi) / 2)
