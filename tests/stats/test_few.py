"""Errors of single examples from few draws: coverage of the nominal 95% interval."""

import numpy as np
import pytest
import torch

from vdiff.diffusion.control import GaussianReference, efficient, fit_controls
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.stats.few import mean_and_error, shared_variance, strata
from vdiff.stats.intervals import Z95

DRAWS = (2, 3, 4, 8, 32, 256)


def covered(z, truth):
    mean, error = mean_and_error(z)
    return np.abs(mean - truth) <= Z95 * error


@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("n", [1, 200])
def test_the_interval_covers_normal_draws_with_a_trend_in_time(draws, n):
    """Examples differ in variance by a factor of e; 4,000 intervals: the standard error is 0.3%."""
    rng = np.random.default_rng([draws, n])
    sd = np.exp(0.25 * rng.standard_normal((4000 // n, n, 1)))
    where = strata(draws)
    u = (where + rng.random((4000 // n, n, draws))) / (where[-1] + 1)
    z = sd * (rng.standard_normal(u.shape) + np.sin(3 * u))
    truth = sd[..., 0] * (1 - np.cos(3)) / 3
    hits = [covered(*pair) for pair in zip(z, truth, strict=True)]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_the_usual_error_would_be_rejected():
    """The control: std / sqrt(draws) of two draws covers 70%, not 95%."""
    z = np.random.default_rng(0).standard_normal((4000, 2))
    usual = z.std(1, ddof=1) / 2**0.5
    assert np.mean(np.abs(z.mean(1)) <= Z95 * usual) < 0.75


def test_variances_that_are_alike_are_shared_and_others_are_not():
    rng = np.random.default_rng(0)
    alike = rng.chisquare(4, 2000) / 4
    prior, df = shared_variance(alike, 4)
    assert prior == pytest.approx(1, abs=0.05)
    assert df > 50
    prior, df = shared_variance(alike * np.exp(2 * rng.standard_normal(2000)), 4)
    assert df < 2


def test_one_draw_has_no_error():
    mean, error = mean_and_error(np.array([[1.0], [2.0]]))
    assert mean.tolist() == [1, 2]
    assert np.isnan(error).all()


@pytest.fixture(scope="module")
def draws_of_the_oracle():
    """(truth (n,), draws(R) -> (n, R)): log densities of a mixture, and estimates by its drift."""
    sde = VPSDE()
    mixture, rng = Mixture.spiral(sde), torch.Generator().manual_seed(1)
    pilot = mixture.draw(2048, rng)
    reference = GaussianReference.fit(sde, mixture.draw(5000, rng))
    controls = fit_controls(mixture.a, pilot, reference, rng, 1e-3)
    x = mixture.draw(300, rng)
    truth = mixture.log_prob(x, torch.zeros(len(x))).numpy()

    def draws(count):
        where = torch.from_numpy(strata(count))
        many = x.repeat_interleave(count, 0)
        u = torch.rand(len(many), generator=rng, dtype=torch.float64)
        u = (where.repeat(len(x)) + u) / float(where[-1] + 1)
        eps = torch.randn(many.shape, generator=rng, dtype=torch.float64)
        return efficient(mixture.a, many, u, eps, controls).value.numpy().reshape(len(x), count)

    return truth, draws


@pytest.mark.parametrize("draws", DRAWS)
def test_the_interval_of_a_single_point_covers_its_true_log_density(draws_of_the_oracle, draws):
    """With the exact drift the bound is the log density itself. Between 93 and 97%, give or take
    two standard errors of this many intervals."""
    truth, draw = draws_of_the_oracle
    repeats = 1 if draws > 100 else 8
    hits = np.mean([covered(draw(draws), truth).mean() for _ in range(repeats)])
    slack = 2 * (0.97 * 0.03 / (repeats * len(truth))) ** 0.5
    assert 0.93 - slack <= hits <= 0.97 + slack
