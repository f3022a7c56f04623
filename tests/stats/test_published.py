"""The published effect: one definition, with an error, and all numbers that rest on it."""

import numpy as np
import pandas as pd
import pytest

from vdiff.resources import published_curves, published_values
from vdiff.stats.claims import FORMS_MARGIN
from vdiff.stats.intervals import late
from vdiff.stats.published import published_effect


def test_it_is_that_of_the_last_fifth():
    """-0.306 ± 0.057 bits/dim; the second half, the control, has another value."""
    effect = published_effect(published_curves())
    assert effect.gain == pytest.approx(0.306, abs=5e-4)
    assert effect.gain_error == pytest.approx(0.057, abs=5e-4)
    assert effect.log_ratio == pytest.approx(0.211, abs=5e-4)
    arms = published_curves().query("iteration >= 50000").groupby("debias")["bpd"].mean()
    assert abs(arms[False] - arms[True] - effect.gain) > 0.03


def test_the_published_values_are_its_two_sides():
    mean = late(published_curves()).groupby("debias")["bpd"].mean()
    for row in published_values("cifar10").itertuples():
        assert row.bpd == pytest.approx(mean[row.debias], abs=5e-4)


def test_the_margin_is_a_tenth_of_it():
    assert pytest.approx(published_effect(published_curves()).gain / 10, abs=5e-4) == FORMS_MARGIN


def test_its_error_covers():
    """Marks with noise of their own, errors of other sizes: 95% of 500 intervals of t, of 11 marks,
    cover both; the mean of the marks' own errors, the control, is much too large."""
    rng, inside = np.random.default_rng(0), []
    for _ in range(500):
        rows = [
            {"iteration": i, "debias": debias, "bpd": 3.4 - 0.3 * debias + z, "bpd_std_err": s}
            for debias in (False, True)
            for i, z, s in zip(
                range(2, 101, 2), 0.14 * rng.standard_normal(50),
                np.exp(0.2 * debias + 0.1 * rng.standard_normal(50)), strict=True
            )
        ]  # fmt: skip
        found = published_effect(pd.DataFrame(rows))
        half = 2.228 * np.array([found.gain_error, found.log_ratio_error])
        inside.append(np.abs(np.array([found.gain - 0.3, found.log_ratio - 0.2])) <= half)
    assert np.mean(inside, 0) == pytest.approx(0.95, abs=0.02)
    assert 0.14 * 2**0.5 > 3 * found.gain_error
