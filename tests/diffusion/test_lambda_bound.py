"""The bound of the lambda member, against the exact density of linear members."""

import math

import numpy as np
import pytest

from vdiff.diffusion.linear import Linear
from vdiff.diffusion.reverse import bound_factor
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
