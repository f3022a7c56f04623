import pytest
import torch

from vdiff.diffusion.drift import mirrored
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


def test_a_mirrored_drift_loses_less_by_how_far_it_was_from_symmetric(sde, rng):
    """The parallelogram law: over a draw and its mirror image the mean loss falls by
    1/8 (sigma / g)^2 ||a(y) - M a(M y)||^2, M the mirror. What a mirror leaves as it is gains 0."""
    x, eps = torch.randn(2, 50, 1, 4, 6, generator=rng, dtype=torch.float64)
    s = torch.rand(50, generator=rng, dtype=torch.float64)
    slope = torch.linspace(-1, 1, 6, dtype=torch.float64)
    for tilt, symmetric in ((slope, False), (slope.square(), True)):
        a = lambda y, s, tilt=tilt: torch.sin(3 * y) - (1 + tilt) * y  # noqa: E731
        before, after = (
            (dsm_loss(sde, b, x, s, eps) + dsm_loss(sde, b, x.flip(-1), s, eps.flip(-1))) / 2
            for b in (a, mirrored(a))
        )
        y = sde.perturb(x, s, eps)
        apart = (a(y, s) - a(y.flip(-1), s).flip(-1)).square().sum((1, 2, 3))
        gain = sde.var(s) / sde.beta(s) * apart / 8
        assert torch.allclose(before - after, gain, rtol=1e-8, atol=1e-10)
        assert (gain.max() < 1e-20) == symmetric
