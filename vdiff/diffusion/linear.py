"""Linear drifts of Gaussian data: every member of the lambda family in closed form.

Data N(0, v) on each axis and the drift -theta g y make the member's samples Gaussian. It is the one
case where the density of every lambda is known at a drift that is wrong.
"""

import math
from dataclasses import dataclass

import torch

from vdiff.diffusion.reverse import bound_factor
from vdiff.diffusion.sde import SDE, at
from vdiff.errors import VdiffError

NODES = 100_000  # of the quadrature in time


@dataclass(frozen=True)
class Linear:
    """One dimension. VdiffError unless the SDE preserves variance and the prior is N(0, 1)."""

    sde: SDE
    v: float
    theta: float

    def __post_init__(self) -> None:
        s = torch.linspace(0, self.sde.T, 9, dtype=torch.float64)
        one = self.sde.m(s).square() + self.sde.var(s)
        if self.sde.prior_sd != 1 or not torch.allclose(one, torch.ones_like(one)):
            raise VdiffError(
                f"{self.sde} does not preserve variance, which the closed form of the lambda "
                "family needs; leave out the section theory."
            )

    def variance(self, lmbd: float) -> float:
        """Of the member's samples: in B = int beta it solves dW/dB = (1 - (2 - lmbd) theta) W +
        1 - lmbd from W = 1."""
        B = -2 * float(self.sde.log_m(at(self.sde.T)))
        rate = 1 - (2 - lmbd) * self.theta
        return math.exp(rate * B) + (1 - lmbd) * math.expm1(rate * B) / rate

    def mean_log_prob(self, lmbd: float) -> float:
        """E over the data of log p_lmbd(x), in nats."""
        W = self.variance(lmbd)
        return -math.log(2 * math.pi * W) / 2 - self.v / (2 * W)

    def bound(self, lmbd: float) -> float:
        """The bound of `reverse.bound_factor` on `mean_log_prob`, in nats."""
        sde, T = self.sde, self.sde.T
        s = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES * T
        marginal = sde.m(s).square() * self.v + sde.var(s)
        error = self.theta - 1 / marginal  # of the drift, in units of -g y
        wrong = float((sde.g2(s) * error.square() * marginal).mean()) * T / 2
        last = float(sde.m(at(T)).square() * self.v + sde.var(at(T)))
        entropy = math.log(2 * math.pi * math.e * self.v) / 2
        return -entropy - (last - 1 - math.log(last)) / 2 - bound_factor(lmbd) * wrong
