"""How well scores tell two sets apart: values against their definitions, errors that cover."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_curve

from vdiff.stats.outliers import (
    aupr,
    auroc,
    false_alarms,
    fpr95,
    typicality,
)  # fmt: skip

SHIFT = 1.5
# Of N(0, 1) inside and N(SHIFT, 1) outside, as many of each: by integrals of their law.
THRESHOLDS = np.linspace(-8, 10, 100_001)
RECALL, ALARMS = norm.sf(THRESHOLDS - SHIFT), norm.sf(THRESHOLDS)


def pairs(n, m, count, rng):
    return [(rng.standard_normal(n), rng.standard_normal(m) + SHIFT) for _ in range(count)]


def truth_of(measure, n, m):
    if measure is auroc:
        return norm.cdf(SHIFT / 2**0.5)
    if measure is fpr95:
        return norm.sf(norm.ppf(0.05) + SHIFT)
    precision = m * RECALL / (m * RECALL + n * ALARMS + 1e-300)
    return -np.trapezoid(precision, RECALL)


@pytest.mark.parametrize(("n", "m"), [(80, 60), (150, 200)])
@pytest.mark.parametrize("measure", [auroc, aupr, fpr95])
def test_errors_cover(measure, n, m):
    """Value ± 1.96 error has the truth in it in about 95% of cases; half the error has not."""
    rng = np.random.default_rng(1)
    many = 100 if measure is fpr95 else 300
    found = np.array([measure(a, b) for a, b in pairs(n, m, many, rng)])
    off = np.abs(found[:, 0] - truth_of(measure, n, m))
    assert 0.89 <= np.mean(off < 1.96 * found[:, 1]) <= 0.995
    assert np.mean(off < 0.98 * found[:, 1]) < 0.85


def test_the_auroc_is_a_share_of_pairs():
    a, b = pairs(80, 60, 1, np.random.default_rng(2))[0]
    assert auroc(a, b)[0] == pytest.approx((b[:, None] > a).mean())


@pytest.mark.parametrize("ties", [False, True])
def test_the_error_of_the_average_precision_is_the_bootstrap_s(ties):
    rng = np.random.default_rng(4)
    a, b = pairs(150, 90, 1, rng)[0]
    if ties:
        a, b = np.round(2 * a), np.round(2 * b)
    again = [aupr(rng.choice(a, 150), rng.choice(b, 90))[0] for _ in range(150)]
    assert aupr(a, b)[1] == pytest.approx(np.std(again), rel=0.25)


@pytest.mark.parametrize("m", [1, 19, 20, 21, 100])
def test_false_alarms_are_the_curve_s(m):
    """At the first threshold of scikit-learn's curve that finds 95%; ties are found together."""
    rng = np.random.default_rng(m)
    a, b = rng.integers(0, 30, 50).astype(float), rng.integers(10, 40, m).astype(float)
    fpr, tpr, _ = roc_curve(
        np.repeat([0, 1], [50, m]), np.concatenate([a, b]), drop_intermediate=False
    )
    assert false_alarms(a, b) == pytest.approx(fpr[tpr >= 0.95 - 1e-12][0])


def test_sets_of_one_law_are_told_apart_by_chance():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 2000))
    assert auroc(a, b)[0] == pytest.approx(0.5, abs=0.03)
    assert aupr(a, b[:500])[0] == pytest.approx(0.2, abs=0.03)
    assert false_alarms(a, b) == pytest.approx(0.95, abs=0.02)
    assert fpr95(a, b[:100], seed=1) == fpr95(a, b[:100], seed=1)


def test_typicality_finds_what_is_too_likely():
    """Scores that are all alike and above: the likelihood calls none of them rare."""
    rng = np.random.default_rng(2)
    own, others = rng.standard_normal(400), 3 + 0.1 * rng.standard_normal(100)
    assert auroc(-own, -others)[0] < 0.05
    assert auroc(*typicality(own, others))[0] > 0.95
    assert aupr(*typicality(own, others))[0] > 0.9
    assert fpr95(*typicality(own, others))[0] < 0.05
