"""Nominal 95% intervals of the efficient estimator on data that used to break it.

The drift is linear and wrong, a = -g k(s) y with k of other variances than the data's, so that the
ELBO of every x is a one-dimensional integral. Rates of 1000 repeats have a standard error of 0.7%:
a true coverage of 91.5% or 98.5% is found out with 80% power.
"""

from functools import cache

import pytest
import torch

from vdiff.diffusion.control import GaussianReference, efficient, fit_controls
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.times import Debiased, stratified
from vdiff.stats.intervals import t95
from vdiff.stats.uncertainty import summarise

D = 12
SDE = VPSDE()


def a(y, s):
    return -SDE.g(s)[:, None] * y / (0.5 * SDE.m(s) ** 2 + SDE.var(s))[:, None]


@cache
def coefficients():
    """The integral of the integrand's mean over time is c0 + c1 ||x||^2, by the midpoint rule."""
    law = Debiased(SDE, 1e-3, tail=0.5)
    s = law.icdf((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    m, var, g2 = SDE.m(s), SDE.var(s), SDE.g2(s)
    k = 1 / (0.5 * m**2 + var)
    constant, square = g2 * D * k * (k * var / 2 - 1), g2 * (k * m).square() / 2
    return [(h / law.density(s)).mean().item() for h in (constant, square)]


def true_elbo(x):
    """(B,) in nats."""
    c0, c1 = coefficients()
    integral = c0 + c1 * x.square().sum(1)
    return SDE.expected_prior(x) - integral - SDE.minus_integral_of_div_f(D)


def white(n, rng):
    return torch.randn(n, D, generator=rng, dtype=torch.float64)


def dead_pixels(n, rng):
    x = white(n, rng)
    x[:, : D // 2] *= 1e-3
    return x


def constant(n, rng):
    return torch.randn(n, 1, generator=rng, dtype=torch.float64).expand(n, D).clone()


def outlier(n, rng):
    """The first of them has one bright pixel where all others are dead."""
    x = dead_pixels(n, rng)
    x[0, 0] = 5
    return x


def heavy(n, rng):
    """Student's t of 8 degrees of freedom: the ELBO, a square, has no fourth moment."""
    chi = white(n * 8, rng)[:, 0].reshape(n, 8).square().mean(1, keepdim=True)
    return white(n, rng) / chi.sqrt()


# Training and test draws, test images, pilot draws, passes.
CASES = {
    "white": (white, white, 200, 512, 2),
    "dead pixels": (dead_pixels, dead_pixels, 200, 512, 2),
    "constant images": (constant, constant, 200, 512, 2),
    "one outlier": (dead_pixels, outlier, 200, 512, 2),
    "ten test images": (white, white, 10, 512, 2),
    "64 pilot draws": (white, white, 200, 64, 2),
    "heavy tails": (heavy, heavy, 200, 512, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_95_percent_intervals_cover(case):
    """Of the mean over these images by se_mc, of that over all images by std_err.

    Where one outlier has most of the noise, two passes cannot know its size: of those intervals
    90% cover, and 93% cover or are refused by the check of the tail, within 1%.
    """
    draw_train, draw_test, n, pilot, passes = CASES[case]
    rng = torch.Generator().manual_seed(0)
    population = true_elbo(draw_test(300_000, rng)).mean().item()
    of_images = of_population = 0
    for _ in range(100):
        train = draw_train(1000, rng)
        controls = fit_controls(a, train[:pilot], GaussianReference.fit(SDE, train), rng)
        for _ in range(10):
            x = draw_test(n, rng)
            u = torch.stack([stratified(n, rng) for _ in range(passes)])
            z = torch.stack([efficient(a, x, v, white(n, rng), controls).value for v in u])
            found = summarise(z.numpy(), u.numpy())
            error = found.mean - true_elbo(x).mean().item()
            covered = abs(error) < t95(n - 1) * found.se_mc
            of_images += covered or (case == "one outlier" and found.tail.doubtful)
            of_population += abs(found.mean - population) < t95(n - 1) * found.std_err
    low, high = (920, 1000) if case == "one outlier" else (930, 970)
    assert low <= of_images <= high
    if case != "one outlier":  # whose images are no sample of a population
        assert 930 <= of_population <= 970
