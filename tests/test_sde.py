import math

import pytest
import torch
from scipy import integrate

from vdiff.diffusion.sdes.vp import VPSDE


@pytest.mark.parametrize("args", [(0.1, 20, 1), (0.5, 5, 2), (1, 1, 0.7)])
def test_marginals_match_simulation(args, rng):
    sde, n, steps = VPSDE(*args), 40_000, 800
    x0 = 1.5
    y = torch.full((n, 1), x0, dtype=torch.float64)
    dt = sde.T / steps
    for i in range(steps):
        s = torch.full((n,), i * dt + dt / 2, dtype=torch.float64)
        noise = torch.randn(n, 1, generator=rng, dtype=torch.float64)
        y = y + sde.f(y, s) * dt + sde.g(s)[:, None] * math.sqrt(dt) * noise
        if i + 1 in (80, 400, 800):
            t = torch.tensor([(i + 1) * dt], dtype=torch.float64)
            var = sde.var(t).item()
            assert abs(y.mean() - sde.m(t).item() * x0) < 4 * math.sqrt(var / n) + 0.005
            assert abs(y.var() / var - 1) < 4 * math.sqrt(2 / n) + 0.015


@pytest.mark.parametrize("args", [(0.1, 20, 1), (0.5, 5, 2)])
def test_integrated_beta_is_the_integral(args):
    sde = VPSDE(*args)
    for s in (0.01, 0.3, sde.T):
        expected, _ = integrate.quad(lambda v: float(sde.beta(torch.tensor(v))), 0, s)
        B = sde.B(torch.tensor(s, dtype=torch.float64))
        assert B.item() == pytest.approx(expected, rel=1e-6)
        assert sde.invert_B(B).item() == pytest.approx(s, rel=1e-12)


def test_variance_preserving_and_stable_near_zero(sde):
    s = torch.tensor([1e-8, 1e-5, 1e-3, 0.5, 1.0], dtype=torch.float64)
    assert torch.allclose(sde.m(s).square() + sde.var(s), torch.ones_like(s), rtol=1e-14)
    # In single precision too, where 1 - exp(-B) would be wrong in its second digit.
    assert torch.allclose(sde.var(s.float()).double(), sde.var(s), rtol=1e-5)


def test_log_snr_is_the_antiderivative_of_g2_over_var(sde):
    s = torch.linspace(1e-6, 1, 200, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(sde.log_nsr(s).sum(), s)
    assert torch.allclose(slope, (sde.beta(s) / sde.var(s)).detach(), rtol=1e-9)


def test_perturb_is_the_conditional_gaussian(sde):
    x, eps = torch.ones(2, 3, dtype=torch.float64), torch.full((2, 3), 2.0, dtype=torch.float64)
    s = torch.tensor([0.0, 1.0], dtype=torch.float64)
    y = sde.perturb(x, s, eps)
    assert torch.equal(y[0], x[0])
    expected = math.exp(-10.05 / 2) + 2 * math.sqrt(1 - math.exp(-10.05))
    assert y[1, 0].item() == pytest.approx(expected, rel=1e-12)


def test_standard_normal_log_prob_integrates_to_one():
    total, _ = integrate.quad(
        lambda v: math.exp(VPSDE().prior_log_prob(torch.tensor([[v]])).item()), -8, 8
    )
    assert total == pytest.approx(1, abs=1e-6)
