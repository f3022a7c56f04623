import numpy as np
import pytest

from vdiff.stats.uncertainty import paired_difference, summarise


def simulate(rng, R, n, test_sd=1.0, noise_sd=2.0):
    """Image effects, a strong effect of time, and noise that grows with time."""
    u = np.stack([(rng.permutation(n) + rng.random(n)) / n for _ in range(R)])
    image = test_sd * rng.standard_normal(n)
    return image + np.sin(6 * u) * 3 + noise_sd * u * rng.standard_normal((R, n)), u, image.mean()


@pytest.mark.parametrize(("R", "n"), [(2, 200), (4, 100)])
def test_nominal_95_percent_intervals_cover(R, n):
    """Over 2000 simulated test sets; the exact rate then has a standard error of 0.5%."""
    rng = np.random.default_rng(0)
    truth = 3 * (1 - np.cos(6)) / 6
    total = mc = 0
    repeats = 2000
    for _ in range(repeats):
        z, u, image = simulate(rng, R, n)
        m = summarise(z, u)
        total += abs(m.mean - truth) < 1.96 * m.std_err
        mc += abs(m.mean - truth - image) < 1.96 * m.se_mc
    assert 0.93 <= total / repeats <= 0.97
    assert 0.93 <= mc / repeats <= 0.97


def test_paired_differences_cancel_what_is_common():
    rng = np.random.default_rng(1)
    z, u, _ = simulate(rng, 3, 300)
    gap = 0.02 * rng.standard_normal(z.shape) + 0.1
    d = paired_difference(z + gap, z, u)
    assert d.mean == pytest.approx(gap.mean())
    assert d.std_err < summarise(z, u).std_err / 20


def test_one_pass_has_the_usual_standard_error():
    z = np.random.default_rng(2).standard_normal((1, 50))
    m = summarise(z)
    assert m.std_err == pytest.approx(z.std(ddof=1) / 50**0.5)
    assert np.isnan(m.se_mc)
    with pytest.raises(ValueError, match="at least 2"):
        summarise(z[:, :1])
