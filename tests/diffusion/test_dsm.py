import pytest
import torch

from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.elbo import stein_integrand
from vdiff.diffusion.tensors import expand_like


@pytest.mark.parametrize("s", [1e-6, 0.01, 0.3, 1.0])
def test_loss_has_its_closed_form_for_gaussian_data(sde, rng, s):
    """Data N(0, v I), a = -c g y: d/2 (1 - 2 c sigma^2 + c^2 sigma^2 (m^2 v + sigma^2))."""
    n, d, v, c = 200_000, 3, 2.5, 0.8
    x = v**0.5 * torch.randn(n, d, generator=rng, dtype=torch.float64)
    eps = torch.randn(n, d, generator=rng, dtype=torch.float64)
    times = torch.full((n,), s, dtype=torch.float64)
    losses = dsm_loss(sde, lambda y, s: -c * expand_like(sde.g(s), y) * y, x, times, eps)
    var, m2 = sde.var(times[:1]).item(), sde.m(times[:1]).square().item()
    expected = d / 2 * (1 - 2 * c * var + c**2 * var * (m2 * v + var))
    assert losses.shape == (n,)
    assert abs(losses.mean() - expected) < 4 * losses.std() / n**0.5


def test_a_perfect_prediction_of_the_noise_costs_nothing(sde, rng):
    x, eps = torch.randn(2, 4, 1, 6, 6, generator=rng, dtype=torch.float64)
    s = torch.rand(4, generator=rng, dtype=torch.float64)
    scale = expand_like(sde.g(s) / sde.sigma(s), x)
    assert dsm_loss(sde, lambda y, s: -scale * eps, x, s, eps).abs().max() < 1e-20


def test_loss_and_elbo_integrand_differ_by_the_noise_alone(sde, rng):
    """(g^2 / sigma^2) (loss - ||eps||^2 / 2) = 1/2 ||a||^2 + (g / sigma) a . eps, draw by draw."""
    x, eps = torch.randn(2, 50, 4, generator=rng, dtype=torch.float64)
    s = torch.rand(50, generator=rng, dtype=torch.float64).clamp(min=1e-4)
    a = lambda y, s: torch.sin(3 * y) - y  # noqa: E731
    weight = sde.beta(s) / sde.var(s)
    left = weight * (dsm_loss(sde, a, x, s, eps) - eps.square().sum(1) / 2)
    assert torch.allclose(left, stein_integrand(sde, a, x, s, eps), rtol=1e-8)
