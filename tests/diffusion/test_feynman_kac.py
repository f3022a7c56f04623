"""The density of the plug-in reverse SDE as an expectation over forward paths."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from vdiff.diffusion.feynman_kac import log_weights
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.tensors import expand_like

THETA, PATHS, STEPS = 0.7, 30_000, 300


def log_density(R):
    """(log of the mean of exp R, its standard error by the delta method) of R (paths, B)."""
    top = R.max(0).values
    w = (R - top).exp()
    return top + w.mean(0).log(), w.std(0) / w.mean(0) / len(R) ** 0.5


def test_the_expectation_is_the_density_of_the_plug_in_sde(sde, rng):
    """Drift -0.7 g y: the reverse SDE from N(0, 1) is linear, with variance V solving
    dV / dB = (1 - 2 theta) V + 1. At three points log p is met within 4 standard errors, of which
    an error of 0.05 nats would be found with 80% power; and E R lies below it by Jensen."""
    rate, B = 1 - 2 * THETA, -2 * float(sde.log_m(torch.tensor(sde.T, dtype=torch.float64)))
    V = math.exp(rate * B) + math.expm1(rate * B) / rate
    x = torch.tensor([0.0, 0.7, 1.4], dtype=torch.float64)

    def a(y, s):
        return -THETA * expand_like(sde.g(s), y) * y

    def div_a(y, s):
        return -THETA * sde.g(s)

    times = torch.linspace(0, sde.T, STEPS + 1, dtype=torch.float64)
    R = log_weights(sde, a, div_a, x.repeat(PATHS)[:, None], times, rng).view(PATHS, 3)
    found, error = log_density(R)
    truth = -x.square() / (2 * V) - math.log(2 * math.pi * V) / 2
    assert (2.8 * error).max() < 0.05
    assert (found - truth).abs().max() < 4 * error.max() + 0.01  # 0.01: the Euler steps
    gap = truth - R.mean(0)
    assert (gap > 0.1).all()
    assert float(gap[0]) == pytest.approx(jensen_gap(sde), rel=0.1)


def jensen_gap(sde):
    """log p(0) - E R at x = 0: half the integral of E ||a - a*||^2, where a* = -g y / V_s is the
    drift whose paths are those of the model, and Y_s ~ N(0, sigma^2) given x = 0."""
    s = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000 * sde.T
    rate = 1 - 2 * THETA
    left = 2 * (sde.log_m(s) - sde.log_m(torch.full_like(s, sde.T)))  # of B, from s to T
    V = (rate * left).exp() + torch.expm1(rate * left) / rate
    wrong = sde.g2(s) * (THETA - 1 / V).square() * sde.var(s)
    return float(wrong.mean() * sde.T / 2)


def test_at_the_true_drift_every_path_knows_the_density(sde, rng):
    """A mixture of 48 Gaussians: single paths of R are log p but for the steps, whose error falls
    with their number."""
    mixture = Mixture.spiral(sde)
    x = mixture.sample(200, rng)
    log_p = mixture.log_prob(x, torch.zeros(200, dtype=torch.float64))
    spread = []
    for L in (125, 500):
        times = torch.linspace(0, sde.T, L + 1, dtype=torch.float64).square()
        R = log_weights(sde, mixture.a, mixture.div_a, x, times, rng)
        spread.append(float((R - log_p).std()))
    assert spread[1] < spread[0] / 3
    assert spread[1] < 0.05


def test_the_expectation_solves_the_fokker_planck_equation(sde, rng):
    """Independently: the density of dX = (g a - f) dt + g dB by finite differences on a line, for
    two Gaussians and 0.8 of their drift. At four points within 4 standard errors, which find 0.05
    nats with 80% power; the density of the true drift, the control, is off by more."""
    mixture = Mixture(sde, torch.tensor([[-1.0], [1.2]], dtype=torch.float64), 0.16)
    y = torch.linspace(-7, 7, 351, dtype=torch.float64)
    h = float(y[1] - y[0])

    def slope(t, p):
        s = torch.full_like(y, sde.T - t)
        mu = 0.8 * sde.g(s) * mixture.a(y[:, None], s)[:, 0] - sde.f(y[:, None], s)[:, 0]
        flux = np.pad(mu.numpy() * p, 1)
        second = np.diff(np.pad(p, 1), 2) / h**2
        return -(flux[2:] - flux[:-2]) / (2 * h) + float(sde.g2(s[:1])) / 2 * second

    start = sde.prior_log_prob(y[:, None]).exp().numpy()
    times = (0, sde.T)
    solved = integrate.solve_ivp(slope, times, start, "LSODA", rtol=1e-4, lband=1, uband=1)
    p = solved.y[:, -1]
    assert p.sum() * h == pytest.approx(1, abs=1e-3)

    x = torch.tensor([-1.3, -0.5, 0.4, 1.2], dtype=torch.float64)
    grid = torch.linspace(0, sde.T, 201, dtype=torch.float64)
    R = log_weights(
        sde, lambda y, s: 0.8 * mixture.a(y, s), lambda y, s: 0.8 * mixture.div_a(y, s),
        x.repeat(8_000)[:, None], grid, rng,
    ).view(-1, 4)  # fmt: skip
    found, error = log_density(R)
    assert 2.8 * error.max() < 0.05
    truth = np.log(np.interp(x, y, p))
    assert np.abs(found.numpy() - truth).max() < 4 * error.max() + 0.01
    other = mixture.log_prob(x[:, None], torch.zeros(4, dtype=torch.float64)).numpy()
    assert np.abs(found.numpy() - other).max() > 8 * error.max() + 0.02
