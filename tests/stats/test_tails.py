"""The diagnosis of a standard error's tail: power where the variance is infinite, and quiet."""

import logging

import numpy as np
import pandas as pd
import pytest
from scipy.stats import genpareto
from support.models import digits_model

from vdiff.config import Evaluation
from vdiff.stats.aggregate import mean_curves
from vdiff.stats.tails import tail_of
from vdiff.steps import evaluate


def rate(draw, n, repeats=100):
    """How often the check fails on n draws; its standard error is at most 5%."""
    rng = np.random.default_rng(0)
    found = (draw(rng, n) for _ in range(repeats))
    return np.mean([tail_of(z - z.mean()).doubtful for z in found])


@pytest.mark.parametrize("n", [50, 64, 100, 256, 2000])
def test_it_is_quiet_where_the_variance_is_finite_and_known(n):
    """Skewed draws too: the tails of both sides are fitted apart."""
    assert rate(lambda rng, n: rng.standard_normal(n), n) <= 0.04
    assert rate(lambda rng, n: rng.laplace(size=n), n) <= 0.09
    assert rate(lambda rng, n: rng.exponential(size=n), n) <= 0.06


@pytest.mark.parametrize(("n", "power"), [(64, 0.6), (100, 0.8), (256, 0.9), (2000, 0.95)])
def test_it_finds_an_infinite_variance(n, power):
    """Cauchy draws, k = 1; of t with 1.5 degrees of freedom, k = 2/3, from 2000 draws on."""
    assert rate(lambda rng, n: rng.standard_t(1, n), n) >= power
    if n == 2000:
        assert rate(lambda rng, n: rng.standard_t(1.5, n), n) >= 0.8


def test_a_fit_of_few_draws_scatters_by_less_than_half_of_maximum_likelihood():
    """At 64 normal draws, whose k is 0 or less."""
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    for _ in range(100):
        z = np.sort(np.abs(rng.standard_normal(64)))
        ours.append(tail_of(z).k_hat)
        theirs.append(genpareto.fit(z[-12:] - z[-13], floc=0)[0])
    assert np.std(ours) < np.std(theirs) / 2


@pytest.mark.parametrize("n", [4, 10, 50, 200])
def test_it_finds_one_draw_that_holds_the_variance(n):
    """However few the draws: an outlier of 6 standard deviations of 10, or of 30 of 200."""
    size = 3 * n**0.5

    def draw(rng, n):
        z = rng.standard_normal(n)
        z[0] = size
        return z

    assert rate(draw, n) >= 0.8


def test_shapes_of_the_pareto_family_are_recovered():
    """The mean of 40 estimates of 2000 draws, within 0.1 of k."""
    rng = np.random.default_rng(1)
    for k in (0.3, 0.6, 1.0):
        found = [tail_of(rng.uniform(size=2000) ** -k).k_hat for _ in range(40)]
        assert np.mean(found) == pytest.approx(k, abs=0.1)


def test_constant_draws_have_no_tail():
    tail = tail_of(np.zeros(500))
    assert not tail.doubtful
    assert not tail_of(np.repeat([-1.0, 1.0], 250)).doubtful


def test_a_target_does_not_trust_a_heavy_tail(monkeypatch):
    """One image's noise is all the variance: the error would do, but the passes go on."""
    rng = np.random.default_rng(2)

    def passes(*args):
        def one(k):
            z = 1e-3 * rng.standard_normal(64)
            z[0] = 3e-2 if k < 6 else -3e-2 if k < 12 else 0
            return z, None

        return one

    monkeypatch.setitem(evaluate.ESTIMATORS, "efficient", passes)
    settings = Evaluation(target_se=0.01, pilot=64)
    found = evaluate.evaluate(digits_model(), lambda y, s: y, settings, "efficient")
    assert len(found.z) > 6


def test_a_table_says_so_in_log_and_columns(monkeypatch, caplog):
    z = np.random.default_rng(3).standard_cauchy((2, 400))
    found = evaluate.Evaluated(z, None, 800)
    row = {"estimator": "efficient", "iteration": 5, "examples": 80, **found.row()}
    with caplog.at_level(logging.WARNING):
        evaluate.warn([row])
    assert "efficient at iteration 5: its standard error is unreliable" in caplog.text
    who = {"experiment": "e", "arm": "a", "debias": True, "seed": 0}
    assert bool(mean_curves(pd.DataFrame([{**who, **row}]))["doubtful"].iloc[0])
