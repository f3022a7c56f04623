"""The bound of the lambda member, against the exact density of linear members."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import integrate

from vdiff.diffusion.linear import Linear
from vdiff.diffusion.reverse import bound_factor
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.errors import VdiffError

LMBDS = [-10, -2, -0.9, -0.1, 0, 0.1, 0.5, 0.9, 0.99]


@pytest.mark.parametrize("theta", [0.6, 0.9, 1.1])
def test_the_bound_lies_below_the_exact_value_for_every_lambda(sde, theta):
    member = Linear(sde, 2.0, theta)
    for lmbd in LMBDS:
        assert member.bound(lmbd) <= member.mean_log_prob(lmbd) + 1e-6


def test_lambda_zero_has_the_best_bound():
    factors = [bound_factor(v) for v in np.linspace(-20, 0.999, 2000)]
    assert min(factors) >= 1
    assert bound_factor(0) == 1
    assert bound_factor(1) == math.inf
    assert bound_factor(0.999) > 200
    with pytest.raises(VdiffError, match="lmbd is 2"):
        bound_factor(2)


def test_at_the_true_drift_the_bound_is_the_value_for_every_lambda(sde):
    """v = 1 makes theta = 1 the true drift: both sides are minus the entropy."""
    true = Linear(sde, 1.0, 1.0)
    for lmbd in LMBDS:
        assert true.variance(lmbd) == pytest.approx(1, abs=1e-9)
        assert true.bound(lmbd) == pytest.approx(true.mean_log_prob(lmbd), abs=1e-9)


@dataclass(frozen=True)
class SubVP(SDE):
    """Song et al. (arXiv 2011.13456): the drift of VP, less noise: sigma = 1 - exp(-B)."""

    T: float = 1.0

    def log_m(self, s):
        return VPSDE().log_m(s)

    def rate(self, s):
        return VPSDE().rate(s)

    def g2(self, s):
        return VPSDE().beta(s) * -torch.expm1(-2 * VPSDE().B(s))

    def var(self, s):
        return VPSDE().var(s).square()

    def log_nsr(self, s):
        return self.var(s).log() - 2 * self.log_m(s)

    def invert_log_nsr(self, value):
        raise NotImplementedError


@pytest.mark.parametrize("schedule", [VPSDE, SubVP])
@pytest.mark.parametrize("theta", [0.7, 1.2])
def test_the_bound_of_lambda_zero_is_the_elbo(schedule, theta):
    """Independently: E log N(y_T) less the integral of E 1/2 a^2 + d/dy (g a - f), by scipy's
    quadrature, without entropy or Girsanov. Twice the square, the control, is off."""
    sde, v = schedule(), 2.0

    def integrand(s, half=0.5):
        t = torch.tensor(s, dtype=torch.float64)
        g2, marginal = float(sde.g2(t)), float(sde.m(t).square() * v + sde.var(t))
        return half * theta**2 * g2 * marginal - theta * g2 - float(sde.rate(t))

    T = torch.tensor(sde.T, dtype=torch.float64)
    last = float(sde.m(T).square() * v + sde.var(T))
    prior = -math.log(2 * math.pi) / 2 - last / 2
    assert sde.prior_sd == 1
    found = Linear(sde, v, theta).bound(0)
    assert found == pytest.approx(prior - integrate.quad(integrand, 0, sde.T)[0], abs=1e-5)
    wrong = integrate.quad(integrand, 0, sde.T, args=(1.0,))[0]
    assert abs(found - prior + wrong) > 0.1


@pytest.mark.parametrize("lmbd", [-0.9, 0, 0.5, 1])
def test_the_variance_is_that_of_samples_for_a_schedule_that_does_not_preserve_it(lmbd):
    """Of Euler-Maruyama steps, which are linear, so that the variance of the points is known step
    by step: the limit of 2,000 and 4,000 of them to 0.1%. A theta that is 1% off is rejected."""
    member = Linear(SubVP(), 2.0, 0.7)

    def after(steps):
        sde, h = member.sde, member.sde.T / steps
        s = torch.linspace(sde.T, 0, steps + 1, dtype=torch.float64)[:-1]
        keep = 1 - h * ((1 - lmbd / 2) * member.theta * sde.g2(s) + sde.rate(s))
        fresh, variance = (1 - lmbd) * h * sde.g2(s), 1.0
        for a, b in zip(keep.square().tolist(), fresh.tolist(), strict=True):
            variance = a * variance + b
        return variance

    limit = 2 * after(4000) - after(2000)
    assert limit == pytest.approx(member.variance(lmbd), rel=1e-3)
    assert limit != pytest.approx(Linear(SubVP(), 2.0, 0.707).variance(lmbd), rel=1e-3)
