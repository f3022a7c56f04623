"""Networks in the form of EDM's code: the exact denoiser, with and without its own noise levels."""

import pytest
from support.oracles import assert_gaussian, gaussian_x0

from vdiff.adapters.edm import from_edm


class Exact:
    img_channels, img_resolution = 1, 2

    def __init__(self, **levels):
        self.__dict__.update(levels)

    def __call__(self, x, sigma, labels=None):
        sigma = sigma.reshape(-1, 1, 1, 1)
        return gaussian_x0(x, 1.0, sigma)


@pytest.mark.parametrize(
    "levels",
    [{}, {"sigma_min": 0, "sigma_max": float("inf")}, {"sigma_min": 0.01, "sigma_max": 50}],
)
def test_an_exact_denoiser_has_the_true_density(levels, rng):
    model = from_edm(Exact(**levels), levels=None)
    assert model.sde.T == min(levels.get("sigma_max", 80), 80)
    assert_gaussian(model, (1, 2, 2), rng)
