"""Nominal 95% intervals of the efficient estimator on data that used to break it.

The drift is linear and wrong, a = -g k(s) y with k of other variances than the data's, so that the
ELBO of every x is a one-dimensional integral. Rates of 1000 repeats have a standard error of 0.7%,
though 40 share a fit, for the rates of 60 fits were seen to differ as by chance alone: a true
coverage of 91.5% or 98.5% is found out with 80% power.
"""

from functools import cache

import pytest
import torch

from vdiff.diffusion.control import efficient, fit_controls
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.times import Debiased, stratified
from vdiff.stats.intervals import t95
from vdiff.stats.uncertainty import summarise

D = 12
SDE = VPSDE()


def linear(v):
    """The exact drift of N(0, v), for data that have another law."""
    return lambda y, s: -SDE.g(s)[:, None] * y / (v * SDE.m(s) ** 2 + SDE.var(s))[:, None]


a, other = linear(0.5), linear(0.7)


@cache
def coefficients(v):
    """The integral of the integrand's mean over time is c0 + c1 ||x||^2, by the midpoint rule."""
    law = Debiased(SDE, 1e-3, tail=0.5)
    s = law.icdf((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    m, var, g2 = SDE.m(s), SDE.var(s), SDE.g2(s)
    k = 1 / (v * m**2 + var)
    constant, square = g2 * D * k * (k * var / 2 - 1), g2 * (k * m).square() / 2
    return [(h / law.density(s)).mean().item() for h in (constant, square)]


def true_elbo(x, v=0.5):
    """(B,) in nats."""
    c0, c1 = coefficients(v)
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


def levels(n, rng):
    """Eight grey levels of a wide range, dequantised."""
    k = torch.randint(8, (n, D), generator=rng).double()
    return (k + torch.rand(n, D, generator=rng, dtype=torch.float64)) / 2 - 2


def one_level(n, rng):
    """Most pixels have one grey level, as the background of digits."""
    u = torch.rand(n, D, generator=rng, dtype=torch.float64)
    return torch.where(u < 0.9, -2 + 0.01 * white(n, rng), white(n, rng))


def rare_and_far(n, rng):
    """One example of fifty is from a component far away."""
    far = torch.rand(n, 1, generator=rng, dtype=torch.float64) < 0.02
    return white(n, rng) + 4 * far


# Training and test draws, test images, pilot draws, passes.
CASES = {
    "white": (white, white, 200, 512, 2),
    "dead pixels": (dead_pixels, dead_pixels, 100, 512, 2),
    "constant images": (constant, constant, 100, 512, 2),
    "one outlier": (dead_pixels, outlier, 200, 512, 2),
    "ten test images": (white, white, 10, 512, 2),
    "64 pilot draws": (white, white, 100, 64, 2),
    "levels": (levels, levels, 100, 512, 2),
    "one dominant grey level": (one_level, one_level, 200, 512, 2),
    "rare far components": (rare_and_far, rare_and_far, 200, 512, 2),
    "heavy tails": (heavy, heavy, 200, 512, 2),
}


# Where a few images have most of the noise, covered or refused counts.
FEW = {"one outlier": (920, 1000), "rare far components": (860, 1000)}


FITS, DRAWS = 25, 40  # of controls, and of test images for each of them: 1,000 intervals


def estimates(case, rng, estimate):
    """Of DRAWS draws of test images: x (DRAWS, n, D), and NumPy's z and u (DRAWS, passes, n).

    estimate(x, u, eps): the estimator's values of all of them at once, an example a row.
    """
    _, draw_test, n, _, passes = CASES[case]
    x, u, eps = [], [], []
    for _ in range(DRAWS):
        x.append(draw_test(n, rng))
        u.append(torch.stack([stratified(n, rng) for _ in range(passes)]))
        eps.append(torch.stack([white(n, rng) for _ in range(passes)]))
    x, u, eps = map(torch.stack, (x, u, eps))
    each = x[:, None].expand(eps.shape).reshape(-1, D)
    z = estimate(each, u.flatten(), eps.reshape(-1, D)).reshape(u.shape)
    return x, z.numpy(), u.numpy()


@pytest.mark.parametrize("case", CASES)
def test_95_percent_intervals_cover(case):
    """Of the mean over these images by se_mc, of that over all images by std_err.

    Where one outlier has most of the noise, two passes cannot know its size: of those intervals
    90% cover, and 93% cover or are refused by the check of the tail, within 1%. Where one image of
    fifty is far away, 82% cover these images and 84% the population (Student's t of true values:
    90%), and 93% and 88% cover or are refused. One dominant grey level makes std_err too large.
    """
    draw_train, draw_test, n, pilot, _ = CASES[case]
    rng = torch.Generator().manual_seed(0)
    population = true_elbo(draw_test(100_000, rng)).mean().item()
    of_images, of_population, limit = 0, 0, t95(n - 1)
    for _ in range(FITS):
        train = draw_train(1000, rng)
        controls = fit_controls(a, train[:pilot], GaussianReference.fit(SDE, train), rng)

        def estimate(*draws, controls=controls):
            return efficient(a, *draws, controls).value

        x, z, u = estimates(case, rng, estimate)
        truth = true_elbo(x.reshape(-1, D)).reshape(DRAWS, n).mean(1)
        for k in range(DRAWS):
            found = summarise(z[k], u[k])
            error = found.mean - float(truth[k])
            covered = abs(error) < limit * found.se_mc
            of_images += covered or (case in FEW and found.tail.doubtful)
            covered = abs(found.mean - population) < limit * found.std_err
            of_population += covered or (case in FEW and found.tail.doubtful)
    low, high = FEW.get(case, (930, 970))
    assert low <= of_images <= high
    if case != "one outlier":  # whose images are no sample of a population
        low, high = FEW.get(case, (930, 990 if case == "one dominant grey level" else 970))
        assert low <= of_population <= high


@pytest.mark.parametrize("case", ["white", "one dominant grey level"])
def test_intervals_of_differences_between_arms_cover(case):
    """Two drifts on the same images, times and noise, each with controls of its own. For the mean
    over all images errors are a little too large: 97.2% of 4,000 intervals cover, and more of one
    dominant grey level, as of its means. So the limit of white images is 98.5%, which is exceeded
    by errors 10% larger still."""
    draw_train, draw_test, n, pilot, _ = CASES[case]
    rng = torch.Generator().manual_seed(0)

    def true(x):
        return true_elbo(x) - true_elbo(x, 0.7)

    population = true(draw_test(100_000, rng)).mean().item()
    of_images, of_population, limit = 0, 0, t95(n - 1)
    for _ in range(FITS):
        train = draw_train(1000, rng)
        reference = GaussianReference.fit(SDE, train)
        controls = [fit_controls(drift, train[:pilot], reference, rng) for drift in (a, other)]

        def estimate(*draws, controls=controls):
            each = zip((a, other), controls, strict=True)
            first, second = (efficient(drift, *draws, c).value for drift, c in each)
            return first - second

        x, z, u = estimates(case, rng, estimate)
        truth = true(x.reshape(-1, D)).reshape(DRAWS, n).mean(1)
        for k in range(DRAWS):
            found = summarise(z[k], u[k])
            of_images += abs(found.mean - float(truth[k])) < limit * found.se_mc
            of_population += abs(found.mean - population) < limit * found.std_err
    assert 930 <= of_images <= 970
    assert 930 <= of_population <= (985 if case == "white" else 990)
