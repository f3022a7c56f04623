"""The bound of the lambda member, against the exact density of linear members."""

import math

import numpy as np
import pytest
import torch

from vdiff.diffusion.reverse import bound_factor
from vdiff.errors import VdiffError

LMBDS = [-10, -2, -0.9, -0.1, 0, 0.1, 0.5, 0.9, 0.99]
V = 2.0  # of the data


def variance(sde, lmbd, theta):
    """Of the member's samples at the drift -theta g y: in B = int beta it solves
    dW/dB = (1 - (2 - lmbd) theta) W + 1 - lmbd from W = 1."""
    B = -2 * float(sde.log_m(torch.tensor(sde.T, dtype=torch.float64)))
    rate = 1 - (2 - lmbd) * theta
    return math.exp(rate * B) + (1 - lmbd) * math.expm1(rate * B) / rate


def exact(sde, lmbd, theta):
    """E over x ~ N(0, V) of log p_lmbd(x) at the drift -theta g y."""
    W = variance(sde, lmbd, theta)
    return -math.log(2 * math.pi * W) / 2 - V / (2 * W)


def bound(sde, lmbd, theta):
    """The same from below, each term in closed form or by quadrature."""
    s = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000 * sde.T
    marginal = sde.m(s).square() * V + sde.var(s)
    wrong = float((sde.g2(s) * (theta - 1 / marginal).square() * marginal).mean()) * sde.T / 2
    end = torch.tensor(sde.T, dtype=torch.float64)
    last = float(sde.m(end).square() * V + sde.var(end))
    entropy = math.log(2 * math.pi * math.e * V) / 2
    return -entropy - (last - 1 - math.log(last)) / 2 - bound_factor(lmbd) * wrong


@pytest.mark.parametrize("theta", [0.6, 0.9, 1.1])
def test_the_bound_lies_below_the_exact_value_for_every_lambda(sde, theta):
    for lmbd in LMBDS:
        assert bound(sde, lmbd, theta) <= exact(sde, lmbd, theta) + 1e-6


def test_lambda_zero_has_the_best_bound():
    factors = [bound_factor(v) for v in np.linspace(-20, 0.999, 2000)]
    assert min(factors) >= 1
    assert bound_factor(0) == 1
    assert bound_factor(1) == math.inf
    assert bound_factor(0.999) > 200
    with pytest.raises(VdiffError, match="lmbd is 2"):
        bound_factor(2)


def test_at_the_true_drift_the_bound_is_the_value_for_every_lambda(sde):
    """V = 1 makes theta = 1 the true drift: both sides are minus the entropy."""
    for lmbd in LMBDS:
        assert variance(sde, lmbd, 1.0) == pytest.approx(1, abs=1e-9)
