"""The likelihood of the probability-flow ODE, and that the ELBO lies below the model's."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from support.oracles import gaussian_drift

from vdiff.data import load
from vdiff.diffusion.control import GaussianReference, efficient, fit_controls
from vdiff.diffusion.drift import in_float64
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.ode import log_likelihood
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.tensors import expand_like
from vdiff.errors import VdiffError
from vdiff.nets.mlp import MLP


def normal_log_prob(x, variance):
    return -(x.square() / variance + math.log(2 * math.pi * variance)).sum(1) / 2


@pytest.mark.parametrize("variance", [0.05, 1.0, 4.0])
def test_gaussian_data_have_their_closed_form(sde, rng, variance):
    x = variance**0.5 * torch.randn(20, 3, generator=rng, dtype=torch.float64)
    found = log_likelihood(sde, gaussian_drift(sde, variance), x, tolerance=1e-7)
    # Y_T is not quite N(0, I): what is left of x at T is exp(-10.05 / 2).
    assert torch.allclose(found.log_prob, normal_log_prob(x, variance), atol=3e-3)
    assert found.evaluations > 10


def test_a_mixture_has_its_closed_form_and_the_tolerance_converges(rng):
    sde = VPSDE(0.1, 40)  # long enough that Y_T is N(0, I) to 1e-4
    mixture = Mixture(sde, torch.tensor([[1.5, 0.0], [-1, 1], [0, -1.5]]).double(), 0.04)
    x = mixture.draw(30, rng)
    exact = mixture.log_prob(x, torch.zeros(30, dtype=torch.float64))
    errors, evaluations = [], []
    for tolerance in (1e-2, 1e-4, 1e-6):
        found = log_likelihood(sde, mixture.a, x, tolerance=tolerance)
        errors.append((found.log_prob - exact).abs().max().item())
        evaluations.append(found.evaluations)
    assert errors[2] < 1e-3
    assert errors[2] < errors[1] < errors[0]
    assert evaluations[0] < evaluations[1] < evaluations[2]


def test_the_swissroll_has_the_density_of_fine_quadrature():
    """Its drift is that of a fine mixture along the spiral, its density an integral over t."""
    sde = VPSDE(0.1, 40)
    mixture = Mixture.spiral(sde, 400)
    x = load("swissroll").draw(8, torch.Generator().manual_seed(0)).double()
    found = log_likelihood(sde, mixture.a, x, tolerance=1e-6).log_prob
    t = np.linspace(1.5, 4.5, 20_001) * np.pi
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], 1) / 5
    square = np.square(x.numpy()[:, None] - spiral).sum(2)
    density = integrate.simpson(np.exp(-square / 0.02) / (0.02 * np.pi), x=t) / (3 * np.pi)
    assert np.abs(found.numpy() - np.log(density)).max() < 0.02


def test_the_density_of_a_network_integrates_to_one(sde):
    rng = torch.Generator().manual_seed(0)
    net, normal = MLP(2, rng, (16,)).requires_grad_(False), gaussian_drift(sde, 1.0)
    a = lambda y, s: normal(y, s) + net(y, s)  # noqa: E731
    axis = torch.linspace(-9, 9, 61, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = log_likelihood(sde, in_float64(a), grid).log_prob.exp()
    assert density.sum().item() * 0.3**2 == pytest.approx(1, abs=2e-3)


def test_hutchinson_agrees_with_the_exact_trace_on_average(sde, rng):
    """A linear field has v^T A v, of mean tr A; the isotropic one has it for every sign vector."""
    a = gaussian_drift(sde, 0.3)
    x = torch.randn(10, 4, generator=rng, dtype=torch.float64)
    probe = torch.randn(10, 4, generator=rng, dtype=torch.float64).sign()
    exact = log_likelihood(sde, a, x, tolerance=1e-7).log_prob
    assert torch.allclose(log_likelihood(sde, a, x, probe, 1e-7).log_prob, exact, atol=1e-5)


def test_single_and_double_precision_networks_agree(sde, rng):
    mixture = Mixture(sde, torch.tensor([[1.0, 0.0], [-1, 0.5]]).double(), 0.1)
    x = mixture.draw(20, rng)
    double = log_likelihood(sde, mixture.a, x).log_prob
    single = log_likelihood(sde, in_float64(mixture.a), x).log_prob
    assert (double - single).abs().max() / (2 * math.log(2)) < 1e-4 * 5


@pytest.mark.parametrize("c", [0.3, 0.8, 1.5])
@pytest.mark.parametrize("args", [(0.1, 3, 1), (0.1, 20, 1)])
def test_the_elbo_lies_below_the_models_own_likelihood(args, c, rng):
    """a = -c g y: the reverse SDE is linear, so its end is N(0, v I) with dv = beta ((1-2c) v + 1).

    In the integrated beta B: v(B) = exp(k B) + (exp(k B) - 1) / k with k = 1 - 2c.
    """
    sde = VPSDE(*args)
    B, k = float(sde.B(torch.tensor(sde.T, dtype=torch.float64))), 1 - 2 * c
    v = math.exp(k * B) + math.expm1(k * B) / k
    a = lambda y, s: -c * expand_like(sde.g(s).to(y.dtype), y) * y  # noqa: E731
    n = 40_000
    unit = torch.ones(2, dtype=torch.float64)
    reference = GaussianReference(sde, 0 * unit, torch.eye(2).double(), unit, math.inf)
    controls = fit_controls(a, torch.randn(4096, 2, generator=rng).double(), reference, rng)
    for point in ([0.0, 0.0], [1.0, -0.5], [3.0, 1.0]):
        x = torch.tensor([point], dtype=torch.float64)
        eps = torch.randn(n, 2, generator=rng, dtype=torch.float64)
        u = torch.rand(n, generator=rng, dtype=torch.float64)
        elbo = efficient(a, x.expand(n, 2), u, eps, controls).value
        error = elbo.std().item() / n**0.5
        assert elbo.mean().item() <= normal_log_prob(x, v).item() + 4 * error


@pytest.mark.parametrize("steepness", [1e7, float("inf")])
def test_a_solver_that_cannot_reach_its_tolerance_says_so(sde, rng, steepness):
    """Stiff, or not finite at all: one sentence, within the stated number of evaluations."""

    def a(y, s):
        return steepness * torch.sin(steepness * y)

    x = torch.randn(2, 1, generator=rng, dtype=torch.float64)
    with pytest.raises(VdiffError, match=r"cannot reach|has not reached") as fault:
        log_likelihood(sde, a, x, torch.ones_like(x), 1e-9)
    assert "looser one" in str(fault.value)
