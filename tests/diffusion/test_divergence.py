import itertools

import pytest
import torch

from vdiff.diffusion.divergence import exact_divergence, hutchinson, probe_from_uniform
from vdiff.errors import VdiffError


def field(y):
    return torch.stack([y[:, 0] ** 2 * y[:, 1], torch.sin(y[:, 1] + y[:, 2]), y[:, 0] * y[:, 2]], 1)


def test_exact_trace_has_its_closed_form(rng):
    y = torch.randn(7, 3, generator=rng, dtype=torch.float64)
    value, div = exact_divergence(field, y)
    expected = 2 * y[:, 0] * y[:, 1] + torch.cos(y[:, 1] + y[:, 2]) + y[:, 0]
    assert torch.equal(value, field(y))
    assert torch.allclose(div, expected)


def test_hutchinson_over_all_rademacher_probes_is_the_exact_trace(rng):
    y = torch.randn(7, 3, generator=rng, dtype=torch.float64)
    estimates = [
        hutchinson(field, y, torch.tensor(signs, dtype=torch.float64).expand_as(y))[1]
        for signs in itertools.product((-1.0, 1.0), repeat=3)
    ]
    assert torch.allclose(torch.stack(estimates).mean(0), exact_divergence(field, y)[1])


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_probes_have_identity_covariance(rng, kind):
    v = probe_from_uniform(torch.rand(100_000, 2, generator=rng, dtype=torch.float64), kind)
    assert torch.allclose(v.T @ v / len(v), torch.eye(2, dtype=torch.float64), atol=0.02)


def test_an_unknown_probe_is_refused():
    with pytest.raises(VdiffError, match="sobol"):
        probe_from_uniform(torch.rand(1), "sobol")
