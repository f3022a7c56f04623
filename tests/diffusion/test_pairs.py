"""The general pair: its bound where the density is known, its flow, its gradients, its samples."""

import math

import numpy as np
import pytest
import torch

from vdiff.diffusion.grids import quadratic, uniform
from vdiff.diffusion.inference import Pair, flow_log_prob, generate, log_weights, plug_in
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.ode import log_likelihood
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.tensors import sum_features

RATE, SIGMA, D = 0.7, 0.8, 2
PRIOR = VPSDE().prior_log_prob


def variance(t):
    """Of X_t of dX = -RATE X dt + SIGMA dB from N(0, 1)."""
    stays = SIGMA**2 / (2 * RATE)
    return stays + (1 - stays) * np.exp(-2 * RATE * t)


def linear(wrong=0.0, sigma=SIGMA, true=True):
    """dX = -RATE X dt + sigma dB with the true a plus a constant, or with that constant alone."""

    def fields(y, s):
        return -RATE * y, true * -sigma * y / variance(1 - float(s[0])) + wrong

    return Pair(fields, lambda s: torch.full_like(s, sigma), PRIOR)


def log_p(x, v):
    return -(sum_features(x.square()) / v + D * math.log(2 * math.pi * v)) / 2


def drawn(n, L, rng, d=D):
    x = torch.randn(n, d, generator=rng, dtype=torch.float64)
    return x, torch.linspace(0, 1, L + 1, dtype=torch.float64), noise(n, L, rng, d)


def noise(n, L, rng, d=D):
    return torch.randn(L, n, d, generator=rng, dtype=torch.float64)


@torch.no_grad()
def test_at_the_true_a_every_path_knows_the_density(rng):
    """And the error of the steps falls at least as fast as they do."""
    worst = []
    for L in (20, 80):
        x, times, eps = drawn(200, L, rng)
        worst.append((log_weights(linear(), x, times, eps) - log_p(x, variance(1))).abs().max())
    assert worst[1] < worst[0] / 4
    assert worst[1] < 0.02


@torch.no_grad()
def test_a_wrong_a_costs_half_the_integrated_squared_error(rng):
    """a* + c: c^2 d / 2 for every x. Without the factor 1/2 it would be 20 standard errors off."""
    c, n = 0.6, 4000
    x, times, eps = drawn(n, 20, rng)
    gap = log_p(x, variance(1)) - log_weights(linear(wrong=c), x, times, eps)
    error = float(gap.std()) / n**0.5
    assert c**2 * D / 2 > 20 * error
    assert float(gap.mean()) == pytest.approx(c**2 * D / 2, abs=4 * error + 1e-3)


@torch.no_grad()
@pytest.mark.parametrize("a", [0.0, 0.5])
def test_the_density_is_the_mean_weight_whatever_a_is(rng, a):
    """Equation 11, where a = 0, and after Girsanov: within 4 standard errors, of which 10% would be
    found with 80% power; and by Jensen the bound lies below."""
    n = 10_000
    x, times, eps = drawn(n, 20, rng)
    x = x / 2  # where the weights' tail is light
    ratio = log_weights(linear(wrong=a, true=False), x, times, eps) - log_p(x, variance(1))
    error = float(ratio.exp().std()) / n**0.5
    assert 2.8 * error < 0.1
    assert float(ratio.exp().mean()) == pytest.approx(1, abs=4 * error + 2e-3)
    assert float(ratio.mean()) < -0.02


@torch.no_grad()
def test_without_noise_it_is_the_likelihood_of_the_flow(sde, rng):
    """The plug-in SDE's member lambda = 1 is the ODE whose likelihood `ode` has; a linear flow has
    a closed form; fixed steps find the same."""
    mixture = Mixture.ring(sde)
    x = mixture.sample(8, rng)
    flow = plug_in(sde, mixture.a).member(1.0)
    wanted = log_likelihood(sde, mixture.a, x, tolerance=1e-6).log_prob
    assert torch.allclose(flow_log_prob(flow, x, 1e-6), wanted, atol=1e-5)
    halved = plug_in(sde, lambda y, s: 0.9 * mixture.a(y, s)).member(1.0)
    assert (flow_log_prob(halved, x, 1e-5) - wanted).abs().mean() > 0.05

    y, times, eps = drawn(20, 80, rng)
    linear_flow, closed = linear(sigma=0.0), log_p(y, math.exp(-2 * RATE))
    assert torch.allclose(flow_log_prob(linear_flow, y, 1e-7), closed, atol=1e-5)
    assert torch.allclose(log_weights(linear_flow, y, times, eps), closed, atol=1e-3)


def curved(y, s):
    """Fields that are not linear, whose divergences are below."""
    mu = torch.stack([y[:, 1].sin() - 0.3 * y[:, 0], (y[:, 0] * y[:, 1]).tanh()], 1)
    return mu, 0.5 * torch.stack([y[:, 1], y[:, 0].cos() * s], 1)


@torch.no_grad()
def test_it_is_unbiased_beside_a_few_lines_of_monte_carlo(rng):
    """Euler-Maruyama and a hand-made divergence, in 100 steps, of the same points. A difference of
    0.1 nats would be found with 80% power, and leaving 1/2 ||a||^2 out makes one."""
    n, L = 20_000, 100
    x, times, eps = drawn(n, 20, rng)
    found = log_weights(Pair(curved, lambda s: 0.5 + s, PRIOR), x, times, eps)
    y, plain, half = x, torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for k in range(L):
        s = torch.full((n,), k / L, dtype=torch.float64)
        mu, a = curved(y, s)
        div = -0.3 + y[:, 0] / (y[:, 0] * y[:, 1]).cosh() ** 2
        plain, half = plain - div / L, half - sum_features(a.square()) / 2 / L
        sigma = (0.5 + s)[:, None]
        dB = torch.randn(n, 2, generator=rng, dtype=torch.float64) / L**0.5
        y = y + (sigma * a - mu) / L + sigma * dB
    plain = plain + PRIOR(y)
    difference = found - plain - half
    error = float(difference.std()) / n**0.5
    assert 2.8 * error < 0.1
    assert abs(float(difference.mean())) < 4 * error + 0.01
    assert abs(float(difference.mean() + half.mean())) > 4 * error + 0.01


def test_gradients_lead_through_the_path(rng):
    """By autograd and by differences, of a weight that moves mu and a."""
    x, times, eps = drawn(30, 6, rng)
    probes = torch.randn(7, 30, 2, generator=rng, dtype=torch.float64).sign()
    weight = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)

    def loss(w):
        def fields(y, s):
            mu, a = curved(w * y, s)
            return mu, w * a

        return log_weights(Pair(fields, lambda s: 0.5 + s, PRIOR), x, times, eps, probes).mean()

    (slope,) = torch.autograd.grad(loss(weight), weight)
    h = 1e-5
    with torch.no_grad():
        by_differences = (loss(weight + h) - loss(weight - h)) / (2 * h)
    assert float(slope) == pytest.approx(float(by_differences), rel=1e-6)


@torch.no_grad()
def test_probes_of_all_signs_have_the_exact_divergence(rng):
    x, times, eps = drawn(50, 8, rng)
    pair = Pair(lambda y, s: (curved(y, s)[0], 0 * y), lambda s: 0.5 + s, PRIOR)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    each = [log_weights(pair, x, times, eps, v.expand(9, 50, 2)) for v in signs]
    assert torch.allclose((each[0] + each[1]) / 2, log_weights(pair, x, times, eps))
    assert not torch.allclose(each[0], each[1])


@torch.no_grad()
def test_an_example_has_its_value_whatever_is_beside_it(rng):
    x, times, eps = drawn(40, 10, rng)
    pair = Pair(curved, lambda s: 0.5 + s, PRIOR)
    together = log_weights(pair, x, times, eps)
    assert together.shape == (40,)
    assert torch.equal(together, log_weights(pair, x, times, eps))
    for part in (slice(0, 1), slice(7, 20)):
        alone = log_weights(pair, x[part], times, eps[:, part])
        assert torch.allclose(alone, together[part], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(log_weights(pair, x[:1], times, eps[:, 1:2]), together[:1])


@torch.no_grad()
def test_the_fixed_inference_is_the_forward_sde(sde, rng):
    """-mu + sigma a is f, whatever a is; and at the true drift a path knows the density."""
    mixture = Mixture.ring(sde)
    pair, x = plug_in(sde, mixture.a), mixture.sample(50, rng)
    s = torch.rand(50, generator=rng, dtype=torch.float64)
    mu, a = pair.fields(x, s)
    assert torch.allclose(sde.g(s)[:, None] * a - mu, sde.f(x, s))
    R = log_weights(pair, x, quadratic(sde, 160).flip(0), noise(50, 160, rng))
    assert (R - mixture.log_prob(x, torch.zeros_like(s))).abs().mean() < 0.06


def test_samples_have_the_variance_of_the_model(sde, rng):
    n, times = 10_000, uniform(sde, 20)
    x = torch.randn(n, D, generator=rng, dtype=torch.float64)
    states = generate(linear(), x, times, noise(n, 20, rng))
    assert states.shape == (21, n, D)
    error = variance(1) * (2 / (D * n)) ** 0.5
    assert float(states[-1].var()) == pytest.approx(variance(1), abs=4 * error)
    assert abs(float(x.var()) - variance(1)) > 8 * error  # so that the prior's would not do
