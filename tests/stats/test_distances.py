"""Two-sample distances and tests, and the claim that every lambda has the same marginals."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.stats.distances import sliced_wasserstein
from vdiff.steps.distances import sample_points

SMALL = {"permutations": 99, "resamples": 99}


def test_sliced_wasserstein_of_a_shift():
    """W_2 of a shift v along a direction u is |v . u|, of mean square |v|^2 / 2 on the circle."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 2))
    found = sliced_wasserstein(x, x + np.array([3.0, 4.0]), rng, **SMALL)
    assert found.distance == pytest.approx(5 / 2**0.5, rel=1e-6)


def test_p_values_of_equal_laws_are_uniform():
    rng = np.random.default_rng(1)
    p = [
        sliced_wasserstein(
            *rng.standard_normal((2, 60, 2)), rng, permutations=39, resamples=19
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


@pytest.mark.parametrize("lmbd", [-10, -0.9, 0, 0.5, 0.9, 1])
def test_every_lmbd_samples_the_data_when_the_drift_is_exact(lmbd):
    """A mixture with its exact drift, 1000 Euler-Maruyama steps: not told from the data."""
    mixture = Mixture(VPSDE(), torch.tensor([[1.5, 0.0], [-1, 1], [0, -1.5]]).double(), 0.09)
    data = mixture.draw(1500, torch.Generator().manual_seed(9)).numpy()
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
    data = mixture.draw(20_000, torch.Generator().manual_seed(9)).numpy()
    distances = []
    for n in steps:
        x = sample_points(mixture.sde, mixture.a, "euler_maruyama", n, lmbd, 20_000, "rate", n)
        distances.append(sliced_wasserstein(x, data, np.random.default_rng(0), 1, 1).distance)
    slope = -np.polyfit(np.log(steps), np.log(distances), 1)[0]
    assert 0.7 < slope < 1.5
