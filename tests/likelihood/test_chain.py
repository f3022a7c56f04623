"""DDPM's chain: against the sum of its terms by quadrature on a lattice, and by the textbook."""

from functools import cache

import numpy as np
import pytest
import torch
from support.lattice import CENTRES, LEVELS, SHAPE, denoised, examples, grid

import vdiff
from vdiff.diffusion.sdes.table import linear
from vdiff.errors import VdiffError
from vdiff.likelihood import chain

BETAS = torch.linspace(0.06, 0.13, 20, dtype=torch.float64)
ABAR = torch.cumprod(1 - BETAS, 0)
TWICE = "ignore:The network gives twice as many"


def learned_of(y, t):
    """A variance that depends on what the network sees, beyond beta~ and beta too."""
    return 1.3 * torch.cos(2 * y + t)


def net(y, t):
    """Predicts the noise, of a network that is a little wrong, and a variance: (B, 2, 1, 2)."""
    y, k = y.double().flatten(1), t.round().long()
    m, sigma = ABAR[k].sqrt()[:, None], (1 - ABAR[k]).sqrt()[:, None]
    eps = (y - m * denoised(y, m, sigma, off=0.5)) / sigma
    return torch.stack([eps, learned_of(y, t[:, None])], 1)[:, :, None]


def wrapped(network=net, **keys):
    more = {
        "schedule": {"betas": BETAS}, "predicts": "noise", "data": SHAPE, "levels": LEVELS,
        "check": False,
    }  # fmt: skip
    return vdiff.wrap(network, **{**more, **keys})


@cache
def textbook(variance, clip=True):
    """Of each of the 16 points (16,) nats: the prior's term, the steps' in all, the decoder's, and
    the decoder's with edges that end; formulas of both papers with their symbols, means over noise
    by quadrature."""
    alphas, one = 1 - BETAS, torch.ones(1, dtype=torch.float64)
    before = torch.cat([one, ABAR[:-1]])
    posterior = BETAS * (1 - before) / (1 - ABAR)
    small = torch.cat([posterior[1:2], posterior[1:]])
    large = torch.cat([posterior[1:2], BETAS[1:]])
    eps, weight = grid(5.5, 0.25)  # to 0.001 nats, a twentieth of the error of a point's mean
    half, found = 1 / LEVELS, []
    for x in CENTRES:
        prior, steps = (ABAR[-1] * x.square() - ABAR[-1] - (1 - ABAR[-1]).log()).sum() / 2, 0.0
        for t in range(len(BETAS)):
            y = ABAR[t].sqrt() * x + (1 - ABAR[t]).sqrt() * eps
            out = net(y.reshape(-1, *SHAPE), torch.full((len(y),), t))
            noise, v = out[:, 0, 0], out[:, 1, 0]
            x0 = (y - (1 - ABAR[t]).sqrt() * noise) / ABAR[t].sqrt()
            if clip:
                x0 = x0.clamp(CENTRES.min(), CENTRES.max())
            of_x0 = before[t].sqrt() * BETAS[t] / (1 - ABAR[t])
            of_y = alphas[t].sqrt() * (1 - before[t]) / (1 - ABAR[t])
            mean = of_x0 * x0 + of_y * y
            if variance == "learned":
                log_v = (v + 1) / 2 * BETAS[t].log() + (1 - v) / 2 * small[t].log()
            else:
                log_v = {"small": small, "large": large}[variance][t].log().expand_as(mean)
            if t > 0:
                off = of_x0 * x + of_y * y - mean
                ratio = posterior[t] / log_v.exp()
                term = (ratio - 1 - ratio.log() + off.square() / log_v.exp()) / 2
                steps = steps + weight @ term.sum(1)
                continue
            law = torch.distributions.Normal(mean, (log_v / 2).exp())
            top, bottom = law.cdf(x + half), law.cdf(x - half)
            short = weight @ -(top - bottom).log().sum(1)
            top = torch.where(x > CENTRES.max() - half, 1, top)
            bottom = torch.where(x < CENTRES.min() + half, 0, bottom)
            decoder = weight @ -(top - bottom).log().sum(1)
        found.append(torch.stack([prior, steps, decoder, short]))
    return torch.stack(found, 1).numpy()


def bound(variance, clip=True):
    return -textbook(variance, clip)[:3].sum(0)


@pytest.mark.filterwarnings(TWICE)
@pytest.mark.parametrize("variance", ["small", "large", "learned"])
def test_the_chain_is_the_sum_of_its_terms(variance):
    """Within 4 errors, where 0.01 nats per dimension would be found with 80% power; and errors of
    single examples cover. The controls: another variance, no prior term, edges that end."""
    model, n = wrapped(), 520
    model.fit(examples(512, torch.Generator().manual_seed(1)))
    found = model.chain(examples(n), variance=variance, draws=32, batch_size=10_000)
    value, error = (v.reshape(16, n) for v in (found.value, found.error))

    def chi2(truth):
        """Of 16 points' means; near 16 for the truth."""
        off = value - truth[:, None]
        each = off.std(1) / n**0.5
        assert 2.8 * np.sqrt(np.square(each).mean() / 16) < 2 * 0.01
        return np.square(off.mean(1) / each).sum()

    prior, steps, decoder, short = textbook(variance)
    truth, other = bound(variance), {"small": "large"}.get(variance, "small")
    assert chi2(truth) < 40
    for wrong in (bound(other), -steps - decoder, -prior - steps - short, bound(variance, False)):
        assert chi2(wrong) > 60
    assert 0.93 <= np.mean(np.abs(value - truth[:, None]) <= 1.96 * error) <= 0.975
    assert found.method == "chain" and found.draws == 32 and found.evaluations == 32 * 16 * n
    plain = model.chain(examples(20), variance=variance, draws=None, batch_size=10_000)
    value, error, n = *(v.reshape(16, 20) for v in (plain.value, plain.error)), 20
    assert plain.draws == 2 * 19 + 4
    assert np.square((value - truth[:, None]).mean(1) / value.std(1)).sum() * n < 45
    assert 0.91 <= np.mean(np.abs(value - truth[:, None]) <= 1.96 * error) <= 0.99


@pytest.mark.parametrize("known", [True, False])
def test_errors_of_few_draws_of_a_thousand_steps_cover(known, monkeypatch):
    """Some 5% of the draws are of steps that cost nothing. The control: where nothing is taken out
    for what a step is expected to cost they are far from all others, most examples have none of
    them, and the errors of 8 draws cover three in four."""
    rng, abar = torch.Generator().manual_seed(0), torch.tensor(linear(), dtype=torch.float64)
    if not known:
        own = chain.probabilities
        monkeypatch.setattr(chain, "probabilities", lambda *a: (own(*a)[0], 0))

    def net(y, t):  # exact for N(0, 0.3)
        m, var = (v[t.round().long()][:, None, None, None] for v in (abar.sqrt(), 1 - abar))
        return var.sqrt() / (0.3 * m**2 + var) * y

    real = 0.3**0.5 * torch.randn(556, 1, 5, 7, generator=rng)
    x = ((real + 1) / 2 * 17).floor().clamp(0, 16).to(torch.uint8)
    keys = {"schedule": "ddpm-linear", "predicts": "noise", "data": (1, 5, 7), "levels": 17}
    model = vdiff.wrap(net, time=lambda s: (1000 * s - 1).round(), check=False, **keys).fit(x[:256])
    truth, found = (model.chain(x[256:], draws=n, seed=n, batch_size=2000) for n in (250, 8))
    error = np.hypot(found.error, truth.error)
    hits = np.abs(found.value - truth.value) < 1.96 * error
    assert (np.mean(hits) > 0.86) == known


def of_mixture(y, k, abar):
    """The noise at y (B, 1, 8, 8) and steps k (B,) from 0, by the exact network of a mixture of
    three Gaussians of variance 0.02 around smooth images."""
    i = torch.linspace(-1, 1, 8, dtype=torch.float64)
    means = torch.stack([i[:, None] * i, (2 * i).sin()[:, None] + 0 * i, 0.5 * i - i[:, None]]) / 2
    y = y.double()[:, 0]
    m, var = (v[k][:, None, None] for v in (abar.sqrt(), 1 - abar))
    v = 0.02 * m.square() + var
    off = y[:, None] - m[:, None] * means
    w = torch.softmax(-off.square().sum((2, 3)) / (2 * v[:, :, 0]), 1)
    return (var.sqrt() / v * (w[:, :, None, None] * off).sum(1))[:, None]


def test_a_thousand_steps_are_drawn_from_and_not_all_taken():
    """On 8 x 8 images of 256 levels, by an exact network: each image's value by 64 passes is that
    of the plain sum of 1,000 terms as published code has it, four times over, and of every step
    twice, within four errors of the difference; by a pass it says ten times as much."""
    abar, rng = torch.tensor(linear(), dtype=torch.float64), torch.Generator().manual_seed(0)
    model = vdiff.wrap(
        lambda y, t: of_mixture(y, t.round().long(), abar), schedule="ddpm-linear",
        predicts="noise", data=(1, 8, 8), range=(-256 / 255, 256 / 255),
    )  # fmt: skip
    x = model.sample(72, steps=50, seed=1)
    model.fit(x[8:])
    x = x[:8]
    found = model.chain(x, draws=64)
    y = (2 * x.double() / 255 - 1).repeat(4, 1, 1, 1)  # four sums of each
    before = torch.cat([abar.new_ones(1), abar[:-1]])
    betas = 1 - abar / before
    total = (abar[-1] * y.square() - abar[-1] - (1 - abar[-1]).log()).sum((1, 2, 3)) / 2
    for t in range(1000):
        eps = torch.randn(y.shape, generator=rng, dtype=torch.float64)
        y_t = abar[t].sqrt() * y + (1 - abar[t]).sqrt() * eps
        noise = of_mixture(y_t, torch.full((32,), t), abar)
        x0 = ((y_t - (1 - abar[t]).sqrt() * noise) / abar[t].sqrt()).clamp(-1, 1)
        if t > 0:
            gain = (abar[t - 1] / (1 - abar[t - 1]) - abar[t] / (1 - abar[t])) / 2
            total = total + gain * (x0 - y).square().sum((1, 2, 3))
            continue
        sd = (betas[1] * (1 - abar[0]) / (1 - abar[1])).sqrt()
        law = torch.distributions.Normal(x0, sd)
        top = torch.where(x.repeat(4, 1, 1, 1) == 255, 1, law.cdf(y + 1 / 255))
        bottom = torch.where(x.repeat(4, 1, 1, 1) == 0, 0, law.cdf(y - 1 / 255))
        total = total - (top - bottom).log().sum((1, 2, 3))
    sums = -total.reshape(4, 8)
    plain, error = sums.mean(0).numpy(), sums.std(0).numpy() / 2
    every = model.chain(x, draws=None)
    for one in (found, every):
        assert (np.abs(one.value - plain) < 4 * np.hypot(one.error, error)).all()
    a_pass = np.square(found.error).mean() * 64, np.square(every.error).mean() * every.draws
    assert a_pass[0] < a_pass[1] / 10


@pytest.mark.filterwarnings(TWICE)
@pytest.mark.parametrize("how", ["small", "learned", "vdm"])
def test_an_example_has_the_number_that_it_has_among_others(how):
    model, x = wrapped(), examples(1)[5:12]
    every = ask(model, x, how)
    assert every.fitted_on == "256 samples of its own" and np.isfinite(every.error).all()
    model.log_prob(x, draws=4)  # fits the model itself
    for rows, batch_size in (([0, 1, 2, 3, 4, 5, 6], 5), ([4, 2, 0, 6, 1, 5, 3], 999), ([3], 10)):
        found = ask(model, x[rows], how, batch_size)
        assert np.allclose(found.value, every.value[rows], rtol=1e-5, atol=1e-5)
        assert np.allclose(found.error, every.error[rows], rtol=1e-3, atol=1e-6)
    assert not np.allclose(ask(model, x, how, seed=1).value, every.value, rtol=1e-3)


def ask(model, x, how, batch_size=256, **keys):
    if how == "vdm":
        return model.log_prob(x, method="vdm", draws=8, batch_size=batch_size, **keys)
    return model.chain(x, variance=how, draws=8, batch_size=batch_size, **keys)


@pytest.mark.filterwarnings(TWICE)
@pytest.mark.parametrize("how", ["large", "vdm"])
def test_conditions_are_fitted_on_or_the_error_is_not_known(how):
    """Of a network that under the condition 1 turns its images round: what it says of turned
    images under it is what it says of them without, on other noise."""

    def told(y, t, c):
        turned = torch.where(c.reshape(-1, 1, 1, 1) > 0, y.flip(3), y)
        out = net(turned, t)
        return torch.where(c.reshape(-1, 1, 1, 1) > 0, out.flip(3), out)

    model, x, c = wrapped(told), examples(200), torch.arange(3200) % 2
    x[c > 0] = x[c > 0].flip(3)
    assert np.isnan(ask(model, x[:3], how, condition=c[:3]).error).all()
    model.fit(x[::5], c[::5])
    found = ask(model, x, how, 5_000, condition=c)
    swapped = ask(model, x, how, 5_000, condition=1 - c)
    one, two, other = (
        v.reshape(16, 100)
        for v in (found.value[c == 0], found.value[c == 1], swapped.value[c == 1])
    )

    def chi2(two):
        error = np.sqrt((one.var(1) + two.var(1)) / 100)
        return np.square((one.mean(1) - two.mean(1)) / error).sum()

    assert chi2(two) < 40
    assert chi2(other) > 80


@pytest.mark.filterwarnings(TWICE)
def test_what_has_no_chain_is_refused():
    x = examples(1)
    refused = {
        "variance is 'beta'; it must be one of small": lambda: wrapped().chain(x, variance="beta"),
        "draws is 7; it must be at least 8": lambda: wrapped().chain(x, draws=7),
        "schedule is VPSDE; a chain needs a table": lambda: wrapped(schedule="vp").chain(x),
        "no more channels than the data": lambda: vdiff.wrap(
            lambda y, t: y, schedule="ddpm-linear", predicts="noise", data=SHAPE, levels=LEVELS
        ).chain(x, variance="learned"),
        "vectors; vdm and chain are for grey levels": lambda: vdiff.wrap(
            lambda y, t: y, schedule="ddpm-linear", predicts="noise", data=(2,)
        ).chain(torch.zeros(3, 2)),
    }
    for said, asked in refused.items():
        with pytest.raises(VdiffError, match=said):
            asked()
