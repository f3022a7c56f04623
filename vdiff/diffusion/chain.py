"""DDPM's chain of the steps t = 1..N of a table, term by term (arXiv 2006.11239, 2102.09672).

    -log p(x_0) <= KL(q(x_N | x_0) || N(0, I)) + sum_t=2^N L_t-1 + L_0
    L_t-1 = E KL(q(x_t-1 | x_t, x_0) || N(mu_t, v_t)),   L_0 = -E log p(x_0 | x_1)

With H = log NSR_t - log NSR_t-1 the posterior q(x_t-1 | x_t, x_0) has the variance
beta~_t = sigma_t-1^2 (1 - exp(-H)) and reach = m_t-1 (1 - exp(-H)) of x_0 in its mean; mu_t is that
mean with xhat for x_0, so that mu_1 = xhat. For v_t = beta~_t

    L_t-1 = (exp(H) - 1) E 1/2 ||eps - eps-hat||^2.

v_t is beta~_t ("small"), beta_t = 1 - m_t^2 / m_t-1^2 ("large"), or between them in the logarithm
("learned"). beta~_1 = 0; as in the code of both papers, beta~_2 stands for it, and in "large" for
beta_1 too.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE, at
from vdiff.diffusion.sdes.table import TableSDE
from vdiff.diffusion.tensors import expand_like, sum_features

VARIANCES = ("small", "large", "learned")


@dataclass(frozen=True)
class Chain:
    """What is known of each step, (N,) float64: its time s, reach, H, log beta~_t, log beta_t."""

    sde: TableSDE
    s: Tensor
    reach: Tensor
    H: Tensor
    log_small: Tensor
    log_large: Tensor

    @classmethod
    def of(cls, sde: TableSDE) -> "Chain":
        s = torch.arange(1, round(sde.T * sde.N) + 1, dtype=torch.float64) / sde.N
        gamma, log_m, var = sde.log_nsr(s), sde.log_m(s), sde.var(s)
        start = torch.zeros(1, dtype=torch.float64)
        H = torch.cat([start + math.inf, gamma.diff()])
        part, before = -torch.expm1(-H), torch.cat([start, log_m[:-1]])
        log_small = (torch.cat([start, var[:-1]]) * part).log()
        log_small[0] = log_small[1]
        log_large = (-torch.expm1(2 * (log_m - before))).log()
        return cls(sde, s, before.exp() * part, H, log_small, log_large)

    def log_v(self, variance: str, k: Tensor, learned: Tensor | None = None) -> Tensor:
        """log v of steps t = k + 1, k (B,): (B,), or like `learned` (B, ...), in which -1 means
        beta~_t and 1 beta_t."""
        if variance == "small":
            return self.log_small[k]
        if variance == "large":
            return torch.where(k == 0, self.log_small[0], self.log_large[k])
        assert learned is not None
        small, large = (expand_like(v[k], learned) for v in (self.log_small, self.log_large))
        return small + (large - small) * (learned + 1) / 2

    def kl(self, k: Tensor, off: Tensor, log_v: Tensor) -> Tensor:
        """KL(q(x_t-1 | x_t, x_0) || N(mu_t, v)), (B,) nats, for t = k + 1 > 1; off = x_0 - xhat
        (B, ...), log_v (B,) or like it."""
        log_v = expand_like(log_v, off) if log_v.ndim == 1 else log_v
        reach, log_small = (expand_like(v[k], off) for v in (self.reach, self.log_small))
        each = unlike(log_small, log_v) + (reach * off).square() * (-log_v).exp() / 2
        return sum_features(each.expand_as(off))


def unlike(log_v: Tensor, log_w: Tensor) -> Tensor:
    """KL(N(mu, v) || N(mu, w)) in one dimension, nats."""
    return (log_w - log_v + torch.expm1(log_v - log_w)) / 2


def prior_kl(sde: SDE, x: Tensor) -> Tensor:
    """KL(q(Y_T | x) || N(0, prior_sd^2 I)), (B,) nats, float64."""
    return -sde.expected_prior(x) - x[0].numel() / 2 * float(
        1 + math.log(2 * math.pi) + sde.var(at(sde.T)).log()
    )
