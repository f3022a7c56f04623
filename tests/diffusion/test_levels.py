"""The drift by groups of grey levels: exact for independent pixels, and with it every drift."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from vdiff.config import load_config, run_of
from vdiff.config.sections import Network
from vdiff.data.images import Images
from vdiff.diffusion.bits import to_real, to_unit
from vdiff.diffusion.levels import Groups, level_drift
from vdiff.errors import VdiffError
from vdiff.nets.unet import UNet
from vdiff.trained import Trained

TIMES = [1e-7, 1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5, 1.0]
COUNTS = torch.tensor([900, 30, 20, 10, 10, 10, 5, 15])
"""Of 8 grey levels; with one group a level the density is exactly that of the counts."""


def nothing(y, s):
    return torch.zeros_like(y)


def pixels(sde, s, n, rng):
    """n pixels y of COUNTS at time s as (n, 1, 1, 1) float64, with their times (n,)."""
    k = torch.multinomial(COUNTS.double() + 1, n, replacement=True, generator=rng)
    edges = to_real(torch.linspace(0, 1, 9, dtype=torch.float64)[:, None])[0][:, 0]
    u = torch.rand(n, generator=rng, dtype=torch.float64)
    x = (edges[k] + u * (edges[k + 1] - edges[k])).view(n, 1, 1, 1)
    time = torch.full((n,), s, dtype=torch.float64)
    return sde.perturb(x, time, torch.randn(x.shape, generator=rng, dtype=torch.float64)), time


def exact(sde, groups, y, s, nodes=20_000):
    """g * score of pixels by quadrature over x, midpoints in every group."""
    width = groups.edges.diff()
    u = (torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes
    x = (groups.edges[:-1, None] + width[:, None] * u).flatten()
    weight = (groups.log_weight - torch.tensor(float(nodes)).log())[:, None].expand(-1, nodes)
    m, sigma = sde.m(s)[:, None], sde.sigma(s)[:, None]
    r = (m * x - y.flatten()[:, None]) / sigma
    posterior = (weight.flatten() - r.square() / 2).softmax(1)
    return sde.g(s) * (posterior * r).sum(1) / sigma[:, 0]


@pytest.mark.parametrize("s", [1e-4, 1e-3, 0.01, 0.1, 0.5, 1.0])
def test_without_a_network_it_is_the_drift_of_independent_pixels(sde, rng, s):
    groups = Groups.of(COUNTS, 8, real=True)
    y, time = pixels(sde, s, 40, rng)
    a = level_drift(nothing, sde, groups)(y, time)
    assert torch.allclose(a.flatten(), exact(sde, groups, y, time), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("s", TIMES)
@pytest.mark.parametrize("real", [True, False])
def test_it_is_the_derivative_of_the_log_density(sde, rng, s, real):
    """Also far outside the data and at the smallest times, where it is finite."""
    groups = Groups.of(COUNTS, 5, real)
    y = torch.linspace(-6, 6, 601, dtype=torch.float64).view(-1, 1, 1, 1).requires_grad_()
    time = torch.full((601,), s, dtype=torch.float64)
    log_p, score = groups.given(sde, y, time)
    (slope,) = torch.autograd.grad(log_p.logsumexp(1).sum(), y)
    a = level_drift(nothing, sde, groups)(y.detach(), time)
    assert a.isfinite().all() and score.isfinite().all()
    g = sde.g(time).view(-1, 1, 1, 1)
    usual = slope.isfinite()
    assert usual.float().mean() > 0.9  # autograd divides 0 by 0 where all densities underflow
    assert torch.allclose(a[usual], (g * slope)[usual], rtol=1e-4, atol=1e-6)


def test_it_is_finite_at_time_zero(sde):
    groups = Groups.of(COUNTS, 4, real=True)
    y = torch.linspace(-3, 3, 61).view(-1, 1, 1, 1)
    assert level_drift(nothing, sde, groups)(y, torch.zeros(61)).isfinite().all()


def test_every_drift_is_of_this_form(sde, rng):
    """With r = wanted - what the log-odds give, any log-odds."""
    groups = Groups.of(COUNTS, 4, real=True)
    y, wanted = torch.randn(2, 6, 2, 3, 3, generator=rng, dtype=torch.float64)
    s = torch.rand(6, generator=rng, dtype=torch.float64)
    odds = torch.randn(6, 8, 3, 3, generator=rng, dtype=torch.float64)
    none = torch.zeros_like(y)
    part = level_drift(lambda x, s: torch.cat([none, odds], 1), sde, groups)(y, s)
    whole = level_drift(lambda x, s: torch.cat([wanted - part, odds], 1), sde, groups)(y, s)
    assert torch.allclose(whole, wanted)


def test_log_odds_are_bayes_rule(sde, rng):
    """Log-odds that turn one histogram into another give the drift of the other."""
    first, second = Groups.of(COUNTS, 8, real=True), Groups.of(COUNTS.flip(0), 8, real=True)
    y, s = pixels(sde, 0.05, 32, rng)
    odds = (second.log_weight - first.log_weight).view(1, 8, 1, 1).expand(32, -1, 1, 1)
    a = level_drift(lambda x, s: torch.cat([torch.zeros_like(y), odds], 1), sde, first)(y, s)
    assert torch.allclose(a, level_drift(nothing, sde, second)(y, s))


def test_log_odds_of_the_other_pixel_are_the_score_of_both(sde):
    """Two pixels whose groups depend on each other: with the log-odds that Bayes' rule gives, the
    drift is g times the slope of the joint log density, by differences of normal distributions
    functions. The control, no log-odds, is off."""
    groups = Groups.of(COUNTS, 4, real=True)
    edges, alone = groups.edges.numpy(), groups.log_weight.exp().numpy()
    both = np.diag(alone) * 0.6 + np.outer(alone, alone) * 0.4  # of the groups of two pixels
    s = torch.tensor([0.1], dtype=torch.float64)
    m, sigma, g = (float(v(s)) for v in (sde.m, sde.sigma, sde.g))

    def given(y):
        """Densities of a pixel y of each group, (4,)."""
        return -np.diff(stats.norm.cdf((y - m * edges) / sigma)) / np.diff(edges)

    def slope(y, other, h=1e-5):
        high, low = (np.log(given(v) @ both @ given(other)) for v in (y + h, y - h))
        return (high - low) / (2 * h)

    off = []
    for first, second in ((-1.0, -0.9), (0.2, -0.5), (0.9, 1.1)):
        y = torch.tensor([first, second], dtype=torch.float64).view(1, 1, 1, 2)
        odds = [np.log(both @ given(other) / alone) for other in (second, first)]
        out = torch.zeros(1, 5, 1, 2, dtype=torch.float64)
        none = level_drift(lambda x, s, out=out: out, sde, groups)(y, s).flatten()
        out = out.clone()
        out[0, 1:, 0] = torch.tensor(np.stack(odds, 1))
        a = level_drift(lambda x, s, out=out: out, sde, groups)(y, s).flatten()
        wanted = g * np.array([slope(first, second), slope(second, first)])
        assert a.numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-4)
        off.append(np.abs(none.numpy() - wanted).max())
    assert max(off) > 0.1


def test_the_network_sees_the_posterior_of_each_pixel(sde, rng):
    """It is the share of each group among draws that came to about the same y."""
    groups, seen = Groups.of(COUNTS, 8, real=True), []

    def network(x, s):
        seen.append(x)
        return nothing(x, s)

    y, s = pixels(sde, 0.02, 4, rng)
    level_drift(network, sde, groups)(y, s)
    posterior = seen[0][:, 1:]
    assert torch.allclose(posterior.sum(1), torch.ones(4, 1, 1, dtype=torch.float64))
    # Bayes' rule over the levels by quadrature in x.
    u = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    x = groups.edges[:-1, None] + groups.edges.diff()[:, None] * u  # (8, nodes)
    r = (y.view(4, 1, 1) - sde.m(s).view(4, 1, 1) * x) / sde.sigma(s).view(4, 1, 1)
    p = (-r.square() / 2).exp().mean(2) * groups.log_weight.exp()
    assert torch.allclose(posterior.flatten(1), p / p.sum(1, keepdim=True), atol=1e-5)


def test_groups_are_the_closest_of_all():
    """Against every way to cut 8 levels into 4 groups."""
    groups = Groups.of(COUNTS, 4, real=True)
    mass = (COUNTS.double() + 1) / (COUNTS.sum() + 8)
    edges = to_real(torch.linspace(0, 1, 9, dtype=torch.float64)[:, None])[0][:, 0]

    def cost(cuts):
        parts = pairwise(cuts)
        return -sum(
            float(mass[i:j].sum() * (mass[i:j].sum() / (edges[j] - edges[i])).log())
            for i, j in parts
        )

    best = min(((0, *c, 8) for c in combinations(range(1, 8), 3)), key=cost)
    assert torch.equal(groups.edges, edges[list(best)])
    assert groups.log_weight.exp().sum().item() == pytest.approx(1)


def test_groups_find_the_pieces_of_a_histogram_of_few():
    counts = torch.cat([torch.tensor([50_000]), torch.full((254,), 7), torch.tensor([9_000])])
    units = to_unit(Groups.of(counts, 3, real=False).edges, real=False)
    assert torch.allclose(units, torch.tensor([0, 1, 255, 256], dtype=torch.float64) / 256)


@pytest.fixture(scope="module")
def run():
    levels = {"parameterisation": "levels", "level_groups": 4, "linear": True}
    tiny = {"channels": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4}
    arm = {"debias-True": {"network": {**tiny, **levels}}}
    config = load_config({"preset": "demo", "experiments": {"digits": {"arms": arm, "pairs": []}}})
    return run_of(config, "digits", "debias-True", 0)


def test_a_model_of_it_starts_at_the_drift_of_its_data(run, rng):
    x = torch.randint(0, 17, (50, 1, 8, 8), generator=rng).clamp(max=9).to(torch.uint8)
    data = Images(x, x, 17)
    assert torch.equal(data.level_counts(), torch.bincount(x.flatten().long(), minlength=17))
    model = Trained(run, data)
    y, s = torch.randn(3, 1, 8, 8, generator=rng), torch.rand(3, generator=rng)
    wanted = level_drift(nothing, model.sde, Groups.of(data.level_counts(), 4, real=True))(y, s)
    a = model.drift_with(model.network.state_dict())
    assert torch.allclose(a(y, s), wanted, atol=1e-3)


def test_fewer_levels_than_groups_are_refused(run):
    x = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(VdiffError, match="level_groups is 4, but the images have 2 grey levels"):
        Trained(run, Images(x, x, 2))


def test_it_is_for_images():
    with pytest.raises(ValueError, match="parameterisation is levels, which is for images"):
        Network(kind="mlp", parameterisation="levels")


def test_further_channels_of_the_net_go_in_and_out(rng):
    net = UNet((2, 8, 8), rng, 8, (1, 2), 1, (), groups=4, fourier=(2.0,), linear=True, further=3)
    y, s = torch.randn(3, 8, 8, 8, generator=rng), torch.rand(3, generator=rng)
    assert net(y, s).shape == (3, 8, 8, 8)
    with torch.no_grad():
        net.linear.coefficients.bias.fill_(1.0)
    assert net(y, s)[:, 2:].abs().max() < 1e-3 < net(y, s)[:, :2].abs().max()
