"""Two-sample distances and tests, and the claim that every lambda has the same marginals."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, stats

from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.stats.claims import DISTANCE_MARGIN, judge
from vdiff.stats.distances import SPREAD, SPREAD_DF, above, sliced_wasserstein
from vdiff.stats.evidence import HOLDS
from vdiff.steps.distances import sample_points


def test_sliced_wasserstein_of_a_shift():
    """W_2 of a shift v along a direction u is |v . u|, of mean square |v|^2 / 2 on the circle."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 2))
    found = sliced_wasserstein(x, x + np.array([3.0, 4.0]), rng, permutations=1, resamples=1)
    assert found.distance == pytest.approx(5 / 2**0.5, rel=1e-6)


def test_squares_of_distances_add_up():
    """Of a Gaussian and one as wide that is shifted, or is wider, by W in each direction: D² - f²
    is W² on average, within 7%. The control, D - f, is a fifth too little or less than that."""
    rng, n = np.random.default_rng(2), 150
    for far in (0.4, 0.8):
        for shift in (True, False):
            found = []
            for _ in range(200):
                x, y = rng.standard_normal((2, n, 2))
                x = x + np.array([far * 2**0.5, 0]) if shift else x * (1 + far)
                c = sliced_wasserstein(x, y, rng, 19, 1, 8)
                found.append((c.distance**2 - c.null_mean**2, c.distance - c.null_mean))
            square, less = np.mean(found, 0)
            assert square == pytest.approx(far**2, rel=0.07)
            assert less < 0.8 * far


def test_quantiles_of_49_resamples_spread_as_the_constants_say():
    z = np.random.default_rng(3).standard_normal((20_000, 49))
    low, high = np.quantile(z, [0.025, 0.975], axis=1)
    wide = high - low
    assert wide.mean() == pytest.approx(SPREAD, rel=0.01)
    assert 0.5 * (wide.mean() / wide.std()) ** 2 == pytest.approx(SPREAD_DF, rel=0.05)


FLOOR = 0.0484
"""About that of 3,400 points of the Swissroll, the demo's: half of the margin."""
POINTS = 100
UNIT = FLOOR / 0.229  # the floor of 100 normal points in 8 directions


@pytest.fixture(scope="module")
def at_the_margin():
    """(what is said of, measured in) 400 comparisons of laws that are as far apart as the margin,
    in units in which 100 points have the demo's floor."""
    rng, rows = np.random.default_rng(4), []
    for _ in range(400):
        x, y = UNIT * rng.standard_normal((2, POINTS, 2))
        c = sliced_wasserstein(x + np.array([DISTANCE_MARGIN * 2**0.5, 0]), y, rng, 59, 49, 8)
        rows.append(c)
    found = pd.DataFrame(rows)
    return pd.DataFrame([judged(row) for row in found.to_dict("records")]), found


def judged(row):
    """The claim about one member alone."""
    case = {"experiment": "e", "source": "exact", "sampler": "euler_maruyama", "steps": 9}
    (said,) = judge({"distances": pd.DataFrame([{**row, **case}])})
    return said


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_laws_as_far_apart_as_the_margin_are_called_equal_as_rarely_as_meant(at_the_margin, level):
    """The control, D - f against the margin with a normal error, does so in a third or more."""
    said, found = at_the_margin
    assert (said["p_true"] < level).mean() <= level + 2 * (level / len(said)) ** 0.5
    off = found["distance"] - found["null_mean"]
    error = (found["high"] - found["low"]) / 3.92
    assert np.mean(stats.norm.sf((DISTANCE_MARGIN - off) / error) < level) > 1 / 3


def test_the_interval_of_a_distance_covers_it(at_the_margin):
    """In 94% of repeats or more. The control, D - f with the bootstrap's own, in less than half."""
    said, found = at_the_margin
    assert said["ours"].mean() == pytest.approx(DISTANCE_MARGIN, rel=0.03)
    assert said["low"].le(DISTANCE_MARGIN).mul(said["high"].ge(DISTANCE_MARGIN)).mean() >= 0.94
    off = found["distance"] - found["null_mean"]
    half = (found["high"] - found["low"]) / 2
    assert np.mean(np.abs(off - DISTANCE_MARGIN) <= half) < 0.5


def test_equal_laws_are_called_so_with_the_power_that_is_stated():
    """Where the stated effect is found with 80% power it is found in 80% of repeats or more."""
    rng, held, able = np.random.default_rng(5), [], []
    for _ in range(150):
        c = sliced_wasserstein(*UNIT * rng.standard_normal((2, POINTS, 2)), rng, 59, 49, 8)
        said = judged(vars(c))
        held.append(said["verdict"] == HOLDS)
        able.append(said["finds"] <= said["effect"])
    assert np.mean(able) > 0.9
    assert np.mean(held) >= 0.8
    assert above(FLOOR, FLOOR) == 0


def test_p_values_of_equal_laws_are_uniform():
    rng = np.random.default_rng(1)
    p = [
        sliced_wasserstein(
            *rng.standard_normal((2, 60, 2)), rng, permutations=39, resamples=1, directions=8
        ).p_value
        for _ in range(300)
    ]
    grid = np.arange(1, 41) / 40  # p takes the values k / 40
    counts = np.histogram(p, bins=np.concatenate([[0], grid + 1e-9]))[0].reshape(10, 4).sum(1)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_mixture_density_integrates_to_one_and_its_drift_is_g_times_the_score(sde, rng):
    mixture = Mixture(sde, torch.tensor([[-1.0], [2.0]], dtype=torch.float64), 0.09)
    for s in (0.0, 0.2, 0.9):
        t = torch.tensor([s], dtype=torch.float64)
        mass, _ = integrate.quad(
            lambda v, t=t: mixture.log_prob(torch.tensor([[v]]).double(), t).exp().item(), -9, 9,
            points=[-1, 2],
        )  # fmt: skip
        assert mass == pytest.approx(1, abs=1e-6)
    y = torch.randn(50, 1, generator=rng, dtype=torch.float64, requires_grad=True)
    s = torch.rand(50, generator=rng, dtype=torch.float64)
    (score,) = torch.autograd.grad(mixture.log_prob(y, s).sum(), y)
    assert torch.allclose(mixture.a(y, s), sde.g(s)[:, None] * score)


@pytest.mark.parametrize("lmbd", [-10, 0, 1])
def test_every_lmbd_samples_the_data_when_the_drift_is_exact(lmbd):
    """A mixture with its exact drift, 1000 Euler-Maruyama steps: not told from the data."""
    mixture = Mixture(VPSDE(), torch.tensor([[1.5, 0.0], [-1, 1], [0, -1.5]]).double(), 0.09)
    data = mixture.sample(1500, torch.Generator().manual_seed(9)).numpy()
    few, many = (
        sample_points(
            mixture.sde, mixture.a, "euler_maruyama", steps, lmbd, 1500, "test", f"{lmbd}"
        )
        for steps in (3, 1000)
    )
    rng = np.random.default_rng(0)
    few, many = (sliced_wasserstein(x, data, rng, 199, 19) for x in (few, many))
    assert many.p_value > 0.01
    assert few.p_value < 0.01
    assert few.distance > 2 * many.distance


@pytest.mark.parametrize(
    ("lmbd", "steps"), [(-0.9, [16, 32, 64]), (0, [10, 20, 40]), (0.9, [5, 10, 20])]
)
def test_the_distance_falls_at_the_rate_of_weak_order_one(lmbd, steps):
    """Distance of Euler-Maruyama to the exact law is 1 / N, once stable and above the floor."""
    mixture = Mixture(VPSDE(), torch.tensor([[1.5, 0.0], [-1, 1], [0, -1.5]]).double(), 0.09)
    data = mixture.sample(20_000, torch.Generator().manual_seed(9)).numpy()
    distances = []
    for n in steps:
        x = sample_points(mixture.sde, mixture.a, "euler_maruyama", n, lmbd, 20_000, "rate", n)
        distances.append(sliced_wasserstein(x, data, np.random.default_rng(0), 1, 1).distance)
    slope = -np.polyfit(np.log(steps), np.log(distances), 1)[0]
    assert 0.7 < slope < 1.5
