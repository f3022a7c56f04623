import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from vdiff.diffusion.control import fit_controls
from vdiff.diffusion.elbo import stein_integrand
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.tensors import expand_like
from vdiff.diffusion.times import Debiased
from vdiff.errors import VdiffError

SHAPE = torch.tensor([[2.0, 1, 0], [0, 0.3, 0], [0, 0, 0.02]]).double()


@pytest.fixture
def reference(sde, rng):
    return GaussianReference.fit(sde, torch.randn(400, 3, generator=rng).double() @ SHAPE)


def test_fluctuations_have_mean_zero(reference, rng):
    x = torch.randn(1, 3, generator=rng, dtype=torch.float64)
    for s in (1e-5, 0.1, 0.9):
        eps = torch.randn(100_000, 3, generator=rng, dtype=torch.float64)
        z, e = reference.coordinates(x.expand_as(eps), eps)
        for part in reference.fluctuations(z, e, torch.full((len(e),), s, dtype=torch.float64)):
            assert part.mean().abs() < 4 * part.std() / len(part) ** 0.5


def test_parts_add_up_to_the_integrand_of_the_reference_drift(reference, sde, rng):
    x, eps = torch.randn(2, 50, 3, generator=rng, dtype=torch.float64)
    x = x @ SHAPE
    s = torch.rand(50, generator=rng, dtype=torch.float64).clamp(min=1e-3)
    basis = reference.transform.vectors
    Sigma = basis @ torch.diag(reference.eigenvalues) @ basis.T

    def a_ref(y, s):
        m, var = sde.m(s), sde.var(s)
        marginal = m.square()[:, None, None] * Sigma + var[:, None, None] * torch.eye(3).double()
        gap = y - m[:, None] * reference.mu
        return -expand_like(sde.g(s), y) * torch.linalg.solve(marginal, gap[:, :, None])[:, :, 0]

    z, e = replace(reference, radius=math.inf).coordinates(x, eps)
    parts = sum(reference.fluctuations(z, e, s)) + reference.h_bar(z, s)
    assert torch.allclose(parts, stein_integrand(sde, a_ref, x, s, eps), rtol=1e-6)


def test_integral_of_h_bar_matches_quadrature(reference, rng):
    z = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    grid = torch.linspace(0, 0.7**0.25, 40_001, dtype=torch.float64) ** 4
    values = torch.stack([reference.h_bar(z, s.expand(4)) for s in grid[::4]], 1)
    expected = torch.trapezoid(values, grid[::4], dim=1)
    exact = reference.integral(z, torch.tensor([0.0, 0.7]).double())
    assert torch.allclose(exact[:, 1] - exact[:, 0], expected, rtol=1e-3)


def test_a_fit_keeps_the_law_of_time_proper(sde, reference, rng):
    x = torch.randn(512, 3, generator=rng, dtype=torch.float64)
    controls = fit_controls(lambda y, s: -3 * y, x, reference, rng)
    u = torch.linspace(1e-6, 1, 1000, dtype=torch.float64)
    s = controls.law.icdf(u)
    assert torch.allclose(controls.law.cdf(s), u)
    assert (controls.law.density(s) > 0).all()
    assert np.isfinite(controls.c.numpy()).all()


def test_the_base_law_needs_a_tail_below_one(sde):
    with pytest.raises(VdiffError, match="tail"):
        Debiased(sde, 1e-3, tail=1.0)


def test_controls_of_an_outlier_are_bounded_and_keep_their_means(reference, rng):
    """Far out, it is drawn in to the radius, within which half the examples lie; fluctuations
    keep mean 0."""
    assert 0.5 < reference.radius < 3
    x = torch.tensor([[0.0, 0.0, 50.0]], dtype=torch.float64)
    eps = torch.randn(100_000, 3, generator=rng, dtype=torch.float64)
    z, e = reference.coordinates(x.expand_as(eps), eps)
    distance = (z.square() / reference.eigenvalues).sum(1).sqrt()
    torch.testing.assert_close(distance, torch.full_like(distance, reference.radius))
    for part in reference.fluctuations(z, e, torch.full((len(e),), 0.01, dtype=torch.float64)):
        assert part.mean().abs() < 4 * part.std() / len(part) ** 0.5
