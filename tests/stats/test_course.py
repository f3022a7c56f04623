"""The gap of two arms as a course: known ones, and the published curves."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vdiff.resources import published_curves
from vdiff.stats.course import change, of_published, share_of_passes
from vdiff.stats.intervals import t95

END = 1000
COURSES = {
    "V-shaped": lambda i: np.abs(np.log2(i / 400)) - 1,
    "straight": lambda i: -1 + 0.2 * np.log2(i),
    "flat": lambda i: -1 + 0 * i,
}


def gaps(course, rng, seeds=1, retraining=0.0, images=0.02):
    """A gap at 20 checkpoints; each training is off by a slope of its own, all share the noise of
    test images, of which checkpoints share one half and have another of their own."""
    i = np.arange(50, END + 1, 50)
    noise = images * 0.5**0.5 * (rng.standard_normal() + rng.standard_normal(len(i)))
    own = [retraining * rng.standard_normal() * np.log2(i / 50) for _ in range(seeds)]
    difference = (COURSES[course](i) + noise + np.reshape(own, (seeds, -1))).ravel()
    at = {"iteration": np.tile(i, seeds), "seed": np.repeat(range(seeds), len(i))}
    return pd.DataFrame({**at, "difference": difference, "std_err": images, "images": 400})


def truth(course):
    """The change as it is defined: means over 800 to 1000 and over 400 to 500."""
    return (
        COURSES[course](np.arange(800, 1001, 50)).mean()
        - COURSES[course](np.arange(400, 501, 50)).mean()
    )


def line(part):
    """What was said before: a line on log2 of the iteration through the last two doublings."""
    part = part[part["iteration"] >= END / 4].groupby("iteration", as_index=False).mean()
    return stats.linregress(np.log2(part["iteration"]), part["difference"])


@pytest.mark.parametrize(("seeds", "retraining"), [(1, 0.0), (3, 0.01), (3, 0.5)])
@pytest.mark.parametrize("course", COURSES)
def test_the_interval_of_a_change_covers_it(course, seeds, retraining):
    """200 gaps each. By the noise of images it says too little, for it does not count on what
    checkpoints share; where retraining is most of the noise it is exact."""
    rng, true = np.random.default_rng(0), truth(course)
    found = [change(gaps(course, rng, seeds, retraining)) for _ in range(200)]
    covers = np.mean([c.low <= true <= c.high for c in found])
    assert 0.93 <= covers
    assert covers <= 0.98 or retraining < 0.5
    assert np.mean([c.high - c.low for c in found]) < 0.2 + 6 * retraining


def test_a_line_through_a_turn_says_what_is_not_so():
    """The control: of a gap that turned, the line has 0.6 or less of the slope that it has on both
    sides of the turn, and an interval that leaves out what the last doubling changed."""
    rng, true = np.random.default_rng(1), truth("V-shaped")
    found = [line(gaps("V-shaped", rng)) for _ in range(200)]
    assert np.mean([x.slope for x in found]) < 0.6 * true
    half = t95(14) * np.array([x.stderr for x in found])
    assert np.mean(np.abs([x.slope - true for x in found]) <= half) < 0.05


def test_what_cannot_be_said_of_a_course_is_not_said():
    rng = np.random.default_rng(1)
    assert change(gaps("flat", rng).iloc[-2:]) is None  # no checkpoint half way
    tailed = gaps("flat", rng).assign(k_hat=0.1, k_most=0.55, share=0.1)
    assert change(tailed).low < 0 < change(tailed).high
    tailed.loc[tailed["iteration"] == 450, "k_hat"] = 0.7
    assert np.isnan([change(tailed).low, change(tailed).high]).all()


def test_an_arm_that_learns_twice_as_fast_needs_half_the_passes():
    i = np.arange(10, 1001, 10)
    slow = pd.DataFrame({"iteration": i, "bpd": 8 - np.log(i)})
    fast = slow.assign(bpd=8 - np.log(2 * i))
    assert share_of_passes(fast, slow) == pytest.approx(0.5, rel=0.1)  # of means of 10 points
    assert np.isnan(share_of_passes(slow, fast))


def test_of_the_published_gap_no_change_is_known():
    """CIFAR-10: the interval holds 0, and 0.3 bits/dim, as much as the gap, would be found with 80%
    power (2.8 standard errors); and debiasing reaches the other arm's end in under half of the
    passes."""
    curves = published_curves()
    found = change(of_published(curves), shared=False)
    assert found.low < 0 < found.high
    assert 2.8 * (found.high - found.low) / (2 * 1.96) == pytest.approx(0.3, abs=0.03)
    arms = {debias: part for debias, part in curves.groupby("debias")}
    assert share_of_passes(arms[True], arms[False]) < 0.5
