"""Decoders of grey levels, and the terms of DDPM's chain, against other ways to have them."""

import math

import pytest
import torch
from scipy.stats import norm
from torch.distributions import Normal, kl_divergence

from vdiff.diffusion.chain import Chain, prior_kl
from vdiff.diffusion.decoders import discretised_gaussian, expected_categorical, log_mass
from vdiff.diffusion.sdes.table import TableSDE, cosine, linear, zero_terminal_snr
from vdiff.diffusion.sdes.ve import VESDE


@pytest.mark.parametrize(
    ("a", "b"), [(-1, 2), (0.5, 0.6), (-40, -39), (39, 40), (30, math.inf), (-math.inf, -30),
                 (-math.inf, math.inf), (5, 5 + 1e-9)]
)  # fmt: skip
def test_the_mass_of_an_interval_is_right_in_the_tails(a, b):
    """Against scipy's log of the tail, where one end decides; and the density of a narrow one."""
    found = float(log_mass(*torch.tensor([a, b], dtype=torch.float64)))
    if b - a < 1e-6:
        assert found == pytest.approx(norm.logpdf(a) + math.log(b - a), rel=1e-7)
        return
    low, high = (-b, -a) if a > 0 else (a, b)
    near, far = norm.logcdf(high), norm.logcdf(low)
    assert found == pytest.approx(near + math.log1p(-math.exp(far - near)), rel=1e-9, abs=1e-15)


def test_the_discretised_gaussian_is_a_law_of_levels(rng):
    """Its probabilities add up to 1, which with edges that end at the last levels they do not."""
    mu = torch.randn(50, 1, generator=rng, dtype=torch.float64)
    edges = torch.linspace(-0.9, 0.9, 9, dtype=torch.float64)
    each = [discretised_gaussian(torch.full((50, 1), k), mu, mu, edges) for k in range(10)]
    total = torch.stack(each).exp().sum(0)
    assert torch.allclose(total, torch.ones_like(total))
    assert (torch.stack(each[1:-1]).exp().sum(0) < 0.999).all()


@pytest.mark.parametrize("nsr", [1e-4, 0.01, 0.3, 4.0])
def test_the_mean_of_the_categorical_decoder_is_that_of_many_draws(nsr, rng):
    """Within four errors; by levels at uneven distances too. One without the neighbours would be 0,
    and by a deviation that is wrong by a tenth it is another."""
    for c in (torch.linspace(-1, 1, 6).double(), torch.tensor([-2.0, -0.5, 0.1, 3.0]).double()):
        found = expected_categorical(c, nsr)
        z = c[:, None] + math.sqrt(nsr) * torch.randn(len(c), 40_000, generator=rng).double()
        log_p = torch.log_softmax(-(z[..., None] - c).square() / (2 * nsr), -1)
        draws = log_p.diagonal(dim1=0, dim2=2).T
        error = draws.std(1) / 200
        assert (abs(draws.mean(1) - found) <= 4 * error + 1e-9).all()
        if nsr >= 0.01:
            assert (abs(draws.mean(1) - expected_categorical(c, 1.2 * nsr)) > 4 * error).any()


@pytest.mark.parametrize("table", [linear(), cosine(50), zero_terminal_snr(linear(40))])
def test_the_steps_of_a_chain_are_the_textbook_s(table):
    """Posterior variances and means from alphas and betas, KL from torch's own."""
    abar = torch.tensor([v for v in table if v > 0], dtype=torch.float64)
    before = torch.cat([abar.new_ones(1), abar[:-1]])
    betas = 1 - abar / before
    chain = Chain.of(TableSDE(table))
    assert torch.allclose(chain.log_large.exp(), betas)
    posterior = betas * (1 - before) / (1 - abar)
    assert torch.allclose(chain.log_small[1:].exp(), posterior[1:])
    assert chain.log_small[0] == chain.log_small[1] == chain.log_v("large", torch.tensor([0]))[0]
    assert torch.allclose(chain.reach, before.sqrt() * betas / (1 - abar))
    k = torch.tensor([1, len(abar) // 2, len(abar) - 1])
    off = torch.tensor([[0.3, -0.1], [0.01, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    learned = torch.tensor([[0.2, -1.0], [1.0, 0.0], [3.0, -2.0]], dtype=torch.float64)
    for name, given in (("small", None), ("large", None), ("learned", learned)):
        log_v = chain.log_v(name, k, given)
        sd = (log_v / 2).exp()
        sd = sd if sd.ndim == 2 else sd[:, None]
        mean = chain.reach[k][:, None] * off
        q = Normal(torch.zeros_like(mean), posterior[k].sqrt()[:, None])
        assert torch.allclose(chain.kl(k, off, log_v), kl_divergence(q, Normal(mean, sd)).sum(1))
    ends = chain.log_v("learned", k, torch.tensor([[-1.0, 1.0]] * 3))
    assert torch.allclose(ends, torch.stack([posterior[k], betas[k]], 1).log())


@pytest.mark.parametrize("sde", [TableSDE(linear(30, 0.01, 0.1)), VESDE()])
def test_the_prior_term_is_a_divergence_of_gaussians(sde, rng):
    x = torch.randn(4, 1, 2, 3, generator=rng)
    T = torch.tensor(sde.T, dtype=torch.float64)
    q = Normal(sde.m(T) * x.double(), sde.sigma(T))
    p = Normal(torch.zeros(()).double(), sde.prior_sd)
    assert torch.allclose(prior_kl(sde, x), kl_divergence(q, p).sum((1, 2, 3)))
