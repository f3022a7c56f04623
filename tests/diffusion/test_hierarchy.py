"""The L-layer hierarchical VAE whose limit is the plug-in reverse SDE."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from vdiff.diffusion.hierarchy import hierarchical
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.tensors import expand_like


def even(sde, L):
    return torch.linspace(0, sde.T, L + 1, dtype=torch.float64)


def gaussian_bound(sde, v, theta, L):
    """E over x ~ N(0, v) of the L-layer ELBO at the drift -theta g y, one dimension, in closed
    form: the log density of a linear Gaussian chain's latents less the posterior's entropy."""
    t = even(sde, L)
    m, var, g2 = sde.m(t), sde.var(t), sde.g2(t)
    h = t.diff()
    # y_i given y_{i+1} in the decoder: c y_{i+1} with variance h g^2; f = rate y.
    c = 1 + h * (-theta * g2[1:] - sde.rate(t[1:]))
    second = m.square() * v + var  # E y_i^2
    cross = m[:-1] * m[1:] * v + (m[1:] / m[:-1]) * var[:-1]  # E y_i y_{i+1}
    error = second[:-1] - 2 * c * cross + c.square() * second[1:]
    decoded = -(torch.log(2 * math.pi * h * g2[1:]) + error / (h * g2[1:])).sum() / 2
    step = var[1:] - (m[1:] / m[:-1]).square() * var[:-1]
    entropy = (torch.log(2 * math.pi * step) + 1).sum() / 2
    prior = -(math.log(2 * math.pi) + second[-1]) / 2
    return float(prior + decoded + entropy)


@pytest.mark.parametrize("theta", [0.4, 0.7])
def test_the_bound_of_gaussian_data_has_its_closed_form(sde, rng, theta):
    """Data N(0, 2): the mean of the terms is that of the chain within 4 standard errors, which
    finds 0.02 nats with 80% power."""
    n, L, v = 100_000, 20, 2.0
    x = v**0.5 * torch.randn(n, 1, generator=rng, dtype=torch.float64)
    eps = torch.randn(L, n, 1, generator=rng, dtype=torch.float64)

    def a(y, s):
        return -theta * expand_like(sde.g(s), y) * y

    found = hierarchical(sde, a, x, even(sde, L), eps)
    error = float(found.std() / n**0.5)
    assert 2.8 * error < 0.02
    assert abs(float(found.mean()) - gaussian_bound(sde, v, theta, L)) < 4 * error


def plain_bound(sde, a, x, t, rng, wider=1.0):
    """The same bound by its definition, along whole paths: log p(y_0, ..., y_L) less
    log q(y_1, ..., y_L | y_0), with a decoder `wider` times as wide."""

    def log_normal(y, mean, sd):
        return torch.distributions.Normal(mean, sd).log_prob(y).sum(1)

    y, total = x, 0.0
    for low, high in pairwise(t):
        scale = sde.m(high) / sde.m(low)
        sd = (sde.var(high) - scale.square() * sde.var(low)).sqrt()
        above = scale * y + sd * torch.randn(y.shape, generator=rng, dtype=y.dtype)
        h, s = high - low, high.expand(len(x))
        decoded = above + h * (sde.g(high) * a(above, s) - sde.f(above, s))
        total = total + log_normal(y, decoded, wider * (h * sde.g2(high)).sqrt())
        total = total - log_normal(above, scale * y, sd)
        y = above
    return total + log_normal(y, 0.0, 1.0)


def test_the_bound_is_that_of_its_definition(sde, rng):
    """A mixture and 0.8 of its drift: means over 60,000 paths within 4 standard errors, which find
    0.04 nats with 80% power; a decoder that is 10% too wide, the control, is rejected."""
    mixture, n, t = Mixture.spiral(sde), 60_000, even(sde, 12)
    x = mixture.sample(n, rng)

    def a(y, s):
        return 0.8 * mixture.a(y, s)

    eps = torch.randn(12, n, 2, generator=rng, dtype=torch.float64)
    found = hierarchical(sde, a, x, t, eps)
    plain, wide = (plain_bound(sde, a, x, t, rng, wider) for wider in (1.0, 1.1))
    error = float((found - plain).std() / n**0.5)
    assert 2.8 * error < 0.04
    assert abs(float((found - plain).mean())) < 4 * error
    assert abs(float((found - wide).mean())) > 8 * error


def test_the_gap_at_the_true_drift_falls_as_one_over_the_layers(sde, rng):
    """A mixture of 48 Gaussians along the Swissroll: log p minus the bound, against L, on
    logarithms, has slope -1 within 0.2."""
    mixture, n = Mixture.spiral(sde), 2000
    x = mixture.sample(n, rng)
    log_p = mixture.log_prob(x, torch.zeros(n, dtype=torch.float64))
    layers, gaps = [60, 120, 240, 480], []
    for L in layers:
        eps = torch.randn(L, n, 2, generator=rng, dtype=torch.float64)
        gaps.append(float((log_p - hierarchical(sde, mixture.a, x, even(sde, L), eps)).mean()))
    assert min(gaps) > 0
    slope = np.polyfit(np.log(layers), np.log(gaps), 1)[0]
    assert slope == pytest.approx(-1, abs=0.2)
