import math

import pytest
import torch
from scipy import integrate, stats

from vdiff.diffusion.bits import bits_per_dim, dequantise, to_real, to_unit
from vdiff.diffusion.sdes.vp import VPSDE


def f64(v):
    return torch.tensor([[v]], dtype=torch.float64)


@pytest.mark.parametrize("real", [True, False])
def test_a_density_of_y_stays_normalised_in_x(real):
    """The law on grey levels given by y ~ N(0, 1) has the mass of the reachable y."""

    def density(x):
        y, log_det = to_real(f64(x), real)
        return math.exp((VPSDE().prior_log_prob(y) + log_det).item())

    mass = sum(integrate.quad(density, k / 17, (k + 1) / 17)[0] for k in range(17))
    ends = [to_real(f64(v), real)[0].item() for v in (0.0, 1.0)]
    assert mass == pytest.approx(stats.norm.cdf(ends[1]) - stats.norm.cdf(ends[0]), rel=1e-9)


@pytest.mark.parametrize("real", [True, False])
def test_log_determinant_is_that_of_the_jacobian(real, rng):
    x = torch.rand(5, 2, generator=rng, dtype=torch.float64)
    _, log_det = to_real(x, real)
    for row, expected in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: to_real(v[None], real)[0][0], row)
        assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(expected.item())
    assert torch.allclose(to_unit(to_real(x, real)[0], real), x)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_uniform_grey_levels_cost_log2_of_their_number(levels, rng):
    """A model that spreads x evenly over the unit cube gives every image log2(levels) bits/dim."""
    k = torch.randint(levels, (6, 1, 4, 4), generator=rng)
    u = torch.rand(k.shape, generator=rng, dtype=torch.float64)
    x = dequantise(k, u, levels)
    assert torch.equal((x * levels).floor().long(), k)
    _, log_det = to_real(x)
    bpd = bits_per_dim(-log_det + log_det, 16, levels)  # p(y) of a uniform x
    assert torch.allclose(bpd, torch.full_like(bpd, math.log2(levels)))
