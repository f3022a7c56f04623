"""Forward SDEs: every one meets the same contract."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from support.oracles import gaussian_drift

from vdiff.diffusion.control import efficient, fit_controls
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.samplers import SAMPLERS, sampler_of
from vdiff.diffusion.sdes import KINDS, sde_of
from vdiff.diffusion.sdes.cosine import CosineSDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.stepping import noise_of
from vdiff.diffusion.transforms.identity import identity
from vdiff.errors import VdiffError

ALL = [sde_of(kind) for kind in KINDS]  # a new one is held to all of these tests as it is
ALL += [VPSDE(0.5, 5, 2), VPSDE(1, 1, 0.7), CosineSDE(0.1, 2)]
every = pytest.mark.parametrize("sde", ALL, ids=str)


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


@every
def test_marginals_match_simulation(sde):
    """Of steps dy = f dt + g dB from one point, whose mean and variance follow without chance, as f
    is linear in y; what is left are the errors of 4,000 steps."""
    steps, mean, var = 4000, 1.5, 0.0
    dt = sde.T / steps
    s = (torch.arange(steps, dtype=torch.float64) + 0.5) * dt
    rates, noise = sde.f(torch.ones(steps, 1).double(), s)[:, 0].tolist(), sde.g(s).tolist()
    for i in range(steps):
        mean, var = mean * (1 + rates[i] * dt), var * (1 + rates[i] * dt) ** 2 + noise[i] ** 2 * dt
        if i + 1 in (400, 2000, 3800):  # the cosine schedule is steep at its end
            t = f64((i + 1) * dt)
            assert mean == pytest.approx(1.5 * sde.m(t).item(), abs=0.003)
            assert var == pytest.approx(sde.var(t).item(), rel=0.005)


@every
def test_rate_and_g2_are_the_derivatives_they_must_be(sde):
    """rate = d log m / ds, g^2 = d sigma^2 / ds - 2 rate sigma^2."""
    s = torch.linspace(1e-6, 0.98 * sde.T, 200, dtype=torch.float64, requires_grad=True)
    (rate,) = torch.autograd.grad(sde.log_m(s).sum(), s)
    (slope,) = torch.autograd.grad(sde.var(s).sum(), s)
    assert torch.allclose(sde.rate(s), rate, rtol=1e-9, atol=1e-12)
    assert torch.allclose(sde.g2(s), slope - 2 * sde.rate(s) * sde.var(s), rtol=1e-9, atol=1e-12)


@every
def test_log_nsr_is_log_var_over_m2_with_the_weight_as_derivative_and_an_inverse(sde):
    s = torch.linspace(1e-4, 0.98 * sde.T, 200, dtype=torch.float64, requires_grad=True)
    value = sde.log_nsr(s)
    assert torch.allclose(value, (sde.var(s) / sde.m(s).square()).log(), rtol=1e-9)
    (slope,) = torch.autograd.grad(value.sum(), s)
    assert torch.allclose(sde.weight(s), slope, rtol=1e-8)
    assert torch.allclose(sde.invert_log_nsr(value), s, rtol=1e-9)


@every
def test_the_integral_of_div_f_matches_quadrature(sde):
    node, weight = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(4))
    pieces = 4000  # a whole number of them in each step of a table
    s = (torch.arange(pieces)[:, None] + (node + 1) / 2) * sde.T / pieces
    found = sde.div_f(s.flatten(), 3).reshape(pieces, 4)
    total = float((found @ weight).sum() * sde.T / pieces / 2)
    assert sde.minus_integral_of_div_f(3) == pytest.approx(-total, rel=1e-5)


@every
def test_coefficients_are_accurate_near_zero_in_single_precision(sde):
    s = f64(1e-8, 1e-5, 1e-3, 0.5)
    assert torch.allclose(sde.var(s.float()).double(), sde.var(s), rtol=1e-5)


@every
def test_perturb_is_the_conditional_gaussian(sde):
    x, eps = torch.ones(2, 3, dtype=torch.float64), torch.full((2, 3), 2.0, dtype=torch.float64)
    s = f64(0.0, sde.T)
    y = sde.perturb(x, s, eps)
    assert torch.equal(y[0], x[0])
    expected = sde.m(s[1:]) + 2 * sde.sigma(s[1:])
    assert y[1, 0].item() == pytest.approx(expected.item(), rel=1e-12)


@every
def test_the_prior_is_normalised_and_near_the_last_marginal(sde, rng):
    grid = sde.prior_sd * torch.linspace(-9, 9, 1001, dtype=torch.float64)
    total = torch.trapezoid(sde.prior_log_prob(grid[:, None]).exp(), grid).item()
    assert total == pytest.approx(1, abs=1e-6)
    x = f64(2.0, -1.0)[None]
    eps = torch.randn(100_000, 2, generator=rng, dtype=torch.float64)
    T = torch.full((len(eps),), sde.T, dtype=torch.float64)
    sampled = sde.prior_log_prob(sde.perturb(x.expand(len(eps), 2), T, eps))
    assert abs(sampled.mean() - sde.expected_prior(x)) < 4 * sampled.std() / len(eps) ** 0.5


@every
def test_the_efficient_elbo_is_the_likelihood_of_the_standard_normal(sde, rng):
    """Data N(0, I), a = -g y, the true Gaussian as reference: nothing random is left.

    What is missing is only that the controls' slices are fitted: 4 standard errors and 0.003.
    """
    n, d = 500, 3
    unit = torch.ones(d, dtype=torch.float64)
    reference = GaussianReference(sde, 0 * unit, identity, unit, math.inf)
    pilot, x, eps = (torch.randn(n, d, generator=rng, dtype=torch.float64) for _ in range(3))
    controls = fit_controls(gaussian_drift(sde, 1.0), pilot, reference, rng)
    u = torch.rand(n, generator=rng, dtype=torch.float64)
    found = efficient(gaussian_drift(sde, 1.0), x, u, eps, controls).value
    error = found - VPSDE().prior_log_prob(x)
    assert error.std() < 0.05
    assert error.mean().abs() < 4 * error.std() / n**0.5 + 0.003


@every
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_reaches_the_variance_of_the_data(sde, name, rng):
    """lmbd = 1, exact drift of N(0, v): 500 steps leave at most 2% besides the prior's mismatch.
    There is no noise and the drift is linear, so points of variance 1 stand for all."""
    v, start = 0.5, torch.randn(20, 4, generator=rng, dtype=torch.float64)
    start = (start - start.mean()) / start.std()
    reverse = Reverse(sde, gaussian_drift(sde, v), 1)
    x = sampler_of(name)(reverse, start, grid_of("log_snr", sde, 500), noise_of(rng), None)
    T = f64(sde.T)
    mismatch = (1 / (sde.m(T).square() * v + sde.var(T))).item()
    assert x.var().item() == pytest.approx(v * mismatch, abs=0.02 * v)


@every
def test_the_mixtures_drift_is_g_times_its_score(sde, rng):
    mixture = Mixture(sde, f64(-1.0, 2.0)[:, None], 0.09)
    y = torch.randn(50, 1, generator=rng, dtype=torch.float64, requires_grad=True)
    s = 0.9 * sde.T * torch.rand(50, generator=rng, dtype=torch.float64)
    (score,) = torch.autograd.grad(mixture.log_prob(y, s).sum(), y)
    assert torch.allclose(mixture.a(y, s), sde.g(s)[:, None] * score)


def test_vp_preserves_variance_and_integrates_beta():
    sde = VPSDE()
    s = f64(1e-8, 1e-5, 1e-3, 0.5, 1.0)
    assert torch.allclose(sde.m(s).square() + sde.var(s), torch.ones_like(s), rtol=1e-14)
    for v in (0.01, 0.3, 1.0):
        expected, _ = integrate.quad(lambda u: float(sde.beta(f64(u))), 0, v)
        assert sde.B(f64(v)).item() == pytest.approx(expected, rel=1e-6)
        assert sde.invert_B(sde.B(f64(v))).item() == pytest.approx(v, rel=1e-12)


def test_kinds_are_files_and_an_unknown_one_is_refused():
    assert KINDS == ("cosine", "flow", "table", "ve", "vp")
    assert sde_of("vp", beta_max=10.0) == VPSDE(beta_max=10.0)
    with pytest.raises(
        VdiffError, match="SDE is 'edm2'; it must be one of cosine, flow, table, ve, vp"
    ):
        sde_of("edm2")
