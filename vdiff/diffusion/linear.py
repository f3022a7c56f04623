"""Linear drifts of Gaussian data: every member of the lambda family, for any schedule.

Data N(0, v) on each axis and the drift -theta g y make the member's samples Gaussian. It is the one
case where the density of every lambda is known at a drift that is wrong.
"""

import math
from dataclasses import dataclass

import torch

from vdiff.diffusion.reverse import bound_factor
from vdiff.diffusion.sde import SDE, at

STEPS = 40_000  # of the ODE of the variance, and half the nodes of the quadrature in time


@dataclass(frozen=True)
class Linear:
    """One dimension."""

    sde: SDE
    v: float
    theta: float

    def variance(self, lmbd: float) -> float:
        """Of the member's samples: backwards in s, dW = ((2 rate + (2 - lmbd) theta g^2) W -
        (1 - lmbd) g^2) ds from W(T) = prior_sd^2, by the classical Runge-Kutta method."""
        s = torch.linspace(0, self.sde.T, 2 * STEPS + 1, dtype=torch.float64)
        g2 = self.sde.g2(s)
        rate = (2 * self.sde.rate(s) + (2 - lmbd) * self.theta * g2).tolist()
        noise = ((1 - lmbd) * g2).tolist()
        W, h = self.sde.prior_sd**2, self.sde.T / STEPS
        for i in range(2 * STEPS, 0, -2):
            k1 = noise[i] - rate[i] * W
            k2 = noise[i - 1] - rate[i - 1] * (W + h / 2 * k1)
            k3 = noise[i - 1] - rate[i - 1] * (W + h / 2 * k2)
            k4 = noise[i - 2] - rate[i - 2] * (W + h * k3)
            W += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return W

    def mean_log_prob(self, lmbd: float) -> float:
        """E over the data of log p_lmbd(x), in nats."""
        W = self.variance(lmbd)
        return -math.log(2 * math.pi * W) / 2 - self.v / (2 * W)

    def bound(self, lmbd: float) -> float:
        """The bound of `reverse.bound_factor` on `mean_log_prob`, in nats: minus the entropy of the
        data, the divergence of Y_T from the prior, and the drift's error."""
        sde, T = self.sde, self.sde.T
        s = (torch.arange(2 * STEPS, dtype=torch.float64) + 0.5) / (2 * STEPS) * T
        marginal = sde.m(s).square() * self.v + sde.var(s)
        error = self.theta - 1 / marginal  # of the drift, in units of -g y
        wrong = float((sde.g2(s) * error.square() * marginal).mean()) * T / 2
        last = float(sde.m(at(T)).square() * self.v + sde.var(at(T))) / sde.prior_sd**2
        entropy = math.log(2 * math.pi * math.e * self.v) / 2
        return -entropy - (last - 1 - math.log(last)) / 2 - bound_factor(lmbd) * wrong
