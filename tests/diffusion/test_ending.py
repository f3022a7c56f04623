"""Where a bound ends: any level gives a valid one, and the best is found."""

import math

import pytest
import torch
from support.oracles import gaussian_drift

from vdiff.diffusion.control import TAIL
from vdiff.diffusion.ending import chosen, gains, held, levels_above, rows_for
from vdiff.diffusion.sdes.flow import FlowSDE
from vdiff.diffusion.sdes.table import TableSDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.tensors import expand_like

SDES = [(VPSDE(), 1e-4), (FlowSDE(), 1e-3), (TableSDE(), 1e-3)]


def exact(sde, error=0.0):
    """The drift of N(0, I) as a network that predicts noise finds it, to a relative error."""

    right = gaussian_drift(sde, 1.0)

    def a(y, s):
        wrong = error * torch.sin(37 * y) * expand_like(sde.g(s) / sde.sigma(s), y)
        return right(y, s) + wrong

    return a


@pytest.mark.parametrize(("sde", "s_min"), SDES)
def test_a_held_score_is_that_of_the_law_at_the_level(sde, s_min, rng):
    """Below s_0, of data N(0, v): y / m has the density that it has at s_0."""
    s_0, s, y = 0.2 * sde.T, torch.tensor([0.05, 0.1]).double() * sde.T, torch.randn(2, 3).double()
    a = held(exact(sde), sde, s_0)(y, s)
    at = torch.full((2,), s_0, dtype=torch.float64)
    of_x = expand_like(1 + sde.var(at) / sde.m(at) ** 2, y) * expand_like(sde.m(s) ** 2, y)
    expected = -expand_like(sde.g(s), y) * y / of_x
    torch.testing.assert_close(a, expected)
    above = torch.full((2,), 0.5 * sde.T, dtype=torch.float64)
    torch.testing.assert_close(held(exact(sde), sde, s_0)(y, above), exact(sde)(y, above))


@pytest.mark.parametrize(("sde", "s_min"), SDES)
def test_an_exact_network_is_never_held(sde, s_min, rng):
    levels, kept = levels_above(sde, s_min), 0
    x = torch.randn(rows_for(200, 2).numel(), 2, generator=rng, dtype=torch.float64)
    for _ in range(10):
        found = gains(sde, lambda rows: exact(sde), x, levels, 1e-3, TAIL, rng, 4096)
        kept += chosen(found, levels, s_min, 2) == s_min
    assert kept == 10


@pytest.mark.parametrize(("sde", "s_min"), SDES)
def test_a_network_of_noise_with_errors_is_held_and_gains_what_the_integral_says(sde, s_min, rng):
    """Its error costs d/2 e^2 mean(sin^2) nats in each unit of log SNR; what holding costs an
    exact network is of order nsr(s_0)^2."""
    levels, error = levels_above(sde, s_min), 1.0
    x = torch.randn(rows_for(200, 2).numel(), 2, generator=rng, dtype=torch.float64)
    a = held(exact(sde, error), sde, s_min)
    found = gains(sde, lambda rows: a, x, levels, 1e-3, TAIL, rng, 4096)
    assert chosen(found, levels, s_min, 2) == levels[-1]
    ends = sde.log_nsr(torch.tensor([levels[0], levels[2]], dtype=torch.float64))
    gap = found[:, 2] - found[:, 0]
    expected = 2 / 2 * error**2 / 2 * float(ends.diff())
    assert abs(gap.mean() - expected) < 4 * gap.std() / math.sqrt(len(gap))
    assert expected > 3 * gap.std() / math.sqrt(len(gap))
