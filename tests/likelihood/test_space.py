"""How grey levels become vectors: what they cost stays theirs, whatever the noise added to them."""

import numpy as np
import pytest
import torch
from scipy import stats

import vdiff
from vdiff.errors import VdiffError
from vdiff.likelihood.noise import Streams


def space(**keys):
    return vdiff.wrap(
        lambda y, s: -y, schedule="vp", predicts="score", data=(1, 1, 1), levels=6, **keys
    ).space


@pytest.mark.parametrize("logit", [False, True])
@pytest.mark.parametrize("dequantisation", ["uniform", 0.2, 0.3])
def test_the_mean_is_a_bound_on_the_log_probability_of_the_cell(dequantisation, logit):
    """Of a normal density p: E[p(y) / q(y)] over the dequantised y is its mass between the level's
    edges, and E[log p(y) - log q(y)] that of scipy's law of the noise. The control: without the
    entropy of the noise."""
    found, p = space(dequantisation=dequantisation, logit=logit), torch.distributions.Normal(0, 1)
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5).reshape(-1, 1, 1, 1) / 20_000
    v = torch.linspace(0, 1, 4_001, dtype=torch.float64)
    if dequantisation == "uniform":
        q = torch.ones_like(v)
    else:
        half = 0.5 / dequantisation
        q = torch.tensor(stats.truncnorm.pdf(v, -half, half, 0.5, dequantisation))
    for k in range(6):
        x = torch.full(u.shape, k, dtype=torch.uint8)
        y, log_det = found.vectors(x, u)
        log_w = p.log_prob(y).flatten() + log_det + found.log_cell
        low, high = found.value(torch.tensor([k, k + 1]))
        assert low < float(y.min()) < float(y.max()) < high
        mass = float(p.cdf(high) - p.cdf(low))
        assert float(log_w.exp().mean()) == pytest.approx(mass, rel=1e-3)
        grid = found.value(k + v)
        slope = torch.gradient(grid, spacing=(v,))[0]
        each = p.log_prob(grid) + slope.log()
        bound = float(torch.trapezoid(q * (each - q.log()), v))
        assert float(log_w.mean()) == pytest.approx(bound, abs=1e-3)
        assert bound < np.log(mass)
        without = float(torch.trapezoid(q * each, v))
        assert dequantisation == "uniform" or abs(without - bound) > 0.05


def test_the_centres_of_levels_are_between_their_edges_and_have_no_noise():
    """By range they are VDM's or those of DDPM's code; a law of no width is none of `wrap`'s."""
    x = torch.arange(256).reshape(-1, 1, 1, 1).to(torch.uint8)
    for ends, value in (
        ((-1, 1), (2 * x.float() + 1) / 256 - 1),
        ((-256 / 255, 256 / 255), 2 * x.float() / 255 - 1),
    ):
        of = vdiff.wrap(
            lambda y, s: -y, schedule="vp", predicts="score", data=(1, 1, 1), range=ends
        ).space._replace(spread=0.0)
        y, log_det = of.drawn(x, torch.arange(256), Streams(x, 0))
        assert torch.allclose(y, value, atol=1e-6) and not of.random and (log_det == 0).all()
        assert torch.equal(of.of_vectors(y), x)
    with pytest.raises(VdiffError, match="dequantisation is 0; it must be uniform or above 0"):
        space(dequantisation=0)
