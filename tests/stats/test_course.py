"""The gap of two arms as a course: known lines, and the published curves."""

import numpy as np
import pandas as pd
import pytest

from vdiff.resources import published_curves
from vdiff.stats.course import of_published, share_of_passes, trend


def gaps(slope, noise, rng, seeds=1):
    """A gap that changes by `slope` a doubling, at 20 checkpoints; each seed is off by its own."""
    iterations = np.arange(50, 1001, 50)
    return pd.DataFrame(
        {
            "seed": seed,
            "iteration": i,
            "difference": -1 + (slope + noise * off) * np.log2(i) + noise * rng.standard_normal(),
        }
        for seed in range(seeds)
        for off in [rng.standard_normal() if seeds > 1 else 0.0]
        for i in iterations
    )


@pytest.mark.parametrize(("seeds", "over"), [(1, "checkpoints"), (3, "seeds"), (5, "seeds")])
def test_the_interval_of_a_trend_covers_it(seeds, over):
    """400 gaps: 92 to 98% cover, which is 95% within 3 standard errors."""
    rng = np.random.default_rng(0)
    found = [trend(gaps(0.2, 0.05, rng, seeds)) for _ in range(400)]
    assert {t.over for t in found} == {over}
    assert 0.92 <= np.mean([t.low <= 0.2 <= t.high for t in found]) <= 0.98


def test_two_seeds_have_no_error_of_their_own():
    assert trend(gaps(0.1, 0.01, np.random.default_rng(1), 2)).over == "checkpoints"
    assert trend(gaps(0.1, 0.01, np.random.default_rng(1)).iloc[-2:]) is None


def test_an_arm_that_learns_twice_as_fast_needs_half_the_passes():
    i = np.arange(10, 1001, 10)
    slow = pd.DataFrame({"iteration": i, "bpd": 8 - np.log(i)})
    fast = slow.assign(bpd=8 - np.log(2 * i))
    assert share_of_passes(fast, slow) == pytest.approx(0.5, rel=0.1)  # of means of 10 points
    assert np.isnan(share_of_passes(slow, fast))


def test_the_published_gap_is_steady():
    """CIFAR-10: no trend, of which 0.15 bits/dim a doubling would be found with 80% power (2.8
    standard errors); and debiasing reaches the other arm's end in under half of the passes."""
    curves = published_curves()
    found = trend(of_published(curves))
    assert found.low < 0 < found.high
    assert 2.8 * (found.high - found.low) / (2 * 1.96) < 0.16
    arms = {debias: part for debias, part in curves.groupby("debias")}
    assert share_of_passes(arms[True], arms[False]) < 0.5
