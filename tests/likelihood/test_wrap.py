"""The likelihood of any model: exact denoisers of known data in every prediction and schedule."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import vdiff
from benchmarks.oracle import CASES, MEANS, VARIANCE, exact, examples, wrapped
from vdiff.config import load_config
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.table import TableSDE, linear
from vdiff.diffusion.sdes.ve import VESDE
from vdiff.errors import VdiffError
from vdiff.likelihood.wrap import SCHEDULES
from vdiff.steps.evaluate import evaluate
from vdiff.steps.opening import open_folder


@pytest.mark.parametrize(("schedule", "predicts"), CASES)
def test_every_prediction_in_every_schedule_is_the_exact_drift(schedule, predicts):
    """At points of the mixture and times of the whole range: to 1e-3 of the noise's size, which is
    what float32 leaves of x-hat at the least noise, where a drift that is 1% off, the control, is
    off by more; and below the least time it is that of the least time at the same y / m."""
    model = wrapped(schedule, predicts)
    sde, data = model.sde, Mixture(model.sde, MEANS, VARIANCE)
    least, last = sde.log_nsr(torch.tensor([model.s_min, 0.98 * sde.T], dtype=torch.float64))
    s = sde.invert_log_nsr(torch.linspace(float(least), float(last), 200, dtype=torch.float64))
    rng = torch.Generator().manual_seed(0)
    eps = torch.randn(200, 3, generator=rng, dtype=torch.float64)
    y = sde.perturb(examples(200)[0], s, eps)

    def off(exact):
        """In units of the noise that it takes out, eps-hat = -sigma a / g."""
        far = model.drift()(y, s) - exact
        return float((far * (sde.sigma(s) / sde.g(s))[:, None]).abs().max())

    assert off(data.a(y, s)) < 1e-3
    assert off(0.99 * data.a(y, s)) > 1e-2
    s, later = s / s.max() * model.s_min, torch.full_like(s, model.s_min)
    y = sde.perturb(examples(200)[0], s, eps)
    ratio = (sde.m(later) / sde.m(s))[:, None]
    score = ratio * data.a(ratio * y, later) / sde.g(later)[:, None]
    assert off(sde.g(s)[:, None] * score) < 1e-3


# Each schedule, and each prediction, whose drift is that of all others by the test above.
DENSITIES = [
    ("vp", "score"), ("vp", "v"), ("ve", "drift"), ("ve", "x0"), ("edm", "noise"), ("edm", "F"),
    ("flow", "velocity"), ("flow", "x0"), ("ddpm-linear", "noise"), ("ddpm-cosine", "v"),
    ("ddpm-sigmoid", "velocity"), ("ddpm-scaled-linear", "score"),
    ("ddpm-linear-zero-snr", "drift"),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "predicts"), DENSITIES)
def test_an_exact_denoiser_of_a_gaussian_has_its_density(schedule, predicts):
    """In the mean within 4 errors and 0.003 nats per dimension, for what the network's least time
    leaves out; 0.01 nats per dimension would be found with 80% power."""
    assert_true(schedule, predicts, 2000, 8, MEANS[:1])


@pytest.mark.parametrize(("schedule", "predicts"), DENSITIES)
def test_an_exact_denoiser_of_a_mixture_has_its_density(schedule, predicts):
    """As above."""
    assert_true(schedule, predicts, 2400, 64, MEANS)


def assert_true(schedule, predicts, n, draws, means):
    x, truth = examples(n, means=means)
    model = wrapped(schedule, predicts, means).fit(examples(1024, 9, means)[0].float())
    found = model.log_prob(x.float(), draws=draws, batch_size=20_000)
    off = found.value - truth
    error = off.std() / n**0.5
    assert 2.8 * error < 3 * 0.01
    assert abs(off.mean()) < 4 * error + 3 * 0.003
    assert np.allclose(found.bits_per_dim, -found.value / (3 * math.log(2)))


@pytest.mark.parametrize("schedule", ["vp", "edm", "flow", "ddpm-linear"])
def test_errors_of_single_examples_cover(schedule):
    """95% intervals of 1,500 examples, 32 draws each: 93 to 97%, the exact truth is that of the
    drift, which an exact denoiser's density is up to 0.01 nats."""
    x, truth = examples(1500, seed=1)
    model = wrapped(schedule, "score").fit(examples(1024, 9)[0].float())
    found = model.log_prob(x.float(), batch_size=20_000)
    inside = np.abs(found.value - truth) <= 1.96 * found.error + 0.005
    assert 0.93 <= inside.mean() <= 0.975


@pytest.mark.parametrize("schedule", ["vp", "ve", "flow", "ddpm-cosine"])
def test_the_ode_has_the_true_density_too(schedule):
    x, truth = examples(64)
    predicts = "velocity" if schedule == "flow" else "noise"
    found = wrapped(schedule, predicts).log_prob(x.float(), method="ode", tolerance=1e-4)
    assert np.abs(found.value - truth).mean() < 0.02


@pytest.mark.parametrize("schedule", ["vp", "edm", "flow", "ddpm-linear"])
def test_samples_have_the_law_of_the_data(schedule):
    """Means and variances of each axis within 4 standard errors and 1%."""
    x, _ = examples(4000)
    y = wrapped(schedule, "noise").sample(2000, steps=40, batch_size=2000).double()
    for axis in range(3):
        a, b = x[:, axis], y[:, axis]
        assert abs(a.mean() - b.mean()) < 4 * a.std() * (1 / 4000 + 1 / 2000) ** 0.5
        assert abs(b.var() / a.var() - 1) < 0.1


def test_a_wrong_schedule_or_prediction_is_said_in_words():
    x, _ = examples(200)
    right = exact(SCHEDULES["ddpm-linear"][0](), "noise")
    for schedule, predicts in (("ddpm-linear", "v"), ("flow", "velocity")):
        model = vdiff.wrap(right, schedule=schedule, predicts=predicts, data=(3,), time=lambda s: s)
        with pytest.raises(VdiffError, match="not what it was trained with"):
            model.fit(x.float())

    def by_step(y, step):
        return right(y, (step + 1) / 1000)

    keys = {"schedule": "ddpm-linear", "predicts": "noise", "data": (3,)}
    vdiff.wrap(by_step, **keys).fit(x.float())
    with pytest.raises(VdiffError, match="its time"):
        vdiff.wrap(by_step, **keys, time=lambda s: s).fit(x.float())
    vdiff.wrap(by_step, **keys, time=lambda s: s, check=False).fit(x.float())


def pixels(n, rng):
    """Images (n, 1, 2, 2) of 16 grey levels, each pixel N(8, 2^2) rounded, apart from the others:
    the true log probability is a sum over a table."""
    k = torch.arange(16, dtype=torch.float64)
    edge = (k[:, None] + torch.tensor([0.0, 1.0]) - 8.5) / 2
    mass = torch.special.ndtr(edge[:, 1]) - torch.special.ndtr(edge[:, 0])
    p = mass / mass.sum()
    x = torch.multinomial(p, 4 * n, replacement=True, generator=rng).reshape(n, 1, 2, 2)
    return x.to(torch.uint8), p.log()[x.long()].flatten(1).sum(1).numpy(), p


def of_levels(p, low, high):
    """The exact score network of such pixels, dequantised uniformly, for the SDE `ve`: a mixture of
    boxes, by Gauss-Legendre nodes within each."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    u = torch.tensor((nodes + 1) / 2)
    points = low + (high - low) * (torch.arange(16)[:, None] + u).flatten() / 16
    log_w = (p[:, None] * torch.tensor(weights) / 2).flatten().log()

    def net(y, s):
        far = y.double()[..., None] - points
        var = s.double().square().reshape(-1, 1, 1, 1, 1)
        w = torch.softmax(log_w - far.square() / (2 * var), -1)
        return ((w * points).sum(-1)).float()

    return net


@pytest.mark.parametrize("low_high", [(-1.0, 1.0), (0.0, 1.0)])
def test_grey_levels_have_their_probability(low_high, rng):
    """By uniform dequantisation, whose bound is tight for the box that the density is in a cell;
    the noise stays above a tenth of a level, that the nodes are many in it."""
    x, truth, p = pixels(300, rng)
    low, high = low_high
    model = vdiff.wrap(
        of_levels(p, low, high), schedule=VESDE(20.0), predicts="x0", data=(1, 2, 2), levels=16,
        range=low_high, s_min=0.2 * (high - low) / 16,
    )  # fmt: skip
    model.fit(pixels(500, rng)[0])
    found = model.log_prob(x, draws=64, batch_size=2000)
    off = (found.value - truth) / 4
    assert abs(off.mean()) < 0.03
    noise = truth.std() / 300**0.5
    x, truth = x[:100], truth[:100]
    one, many = (
        model.discrete(x, draws=k, repeats=1, layers=60, batch_size=2000).value.mean()
        for k in (1, 12)
    )
    assert one < many < truth.mean() + 0.2 * noise  # a bound, the tighter the more draws
    assert (truth.mean() - many) / 4 < 0.25


def test_truncated_normal_dequantisation_is_a_bound_too(rng):
    """Data uniform on 4 levels and a model that is uniform on the range: every dequantisation
    bounds log(1/4) per pixel, by the entropy that it lacks."""
    space = vdiff.wrap(lambda y, t: y, schedule="ve", predicts="x0", data=(1, 4, 4), levels=4).space
    x = torch.randint(4, (500, 1, 4, 4), generator=rng).to(torch.uint8)
    for spread in (None, 0.2, 5.0):
        u = torch.rand(x.shape, generator=rng, dtype=torch.float64)
        y, log_det = space._replace(spread=spread).vectors(x, u)
        assert ((y >= -1) & (y <= 1)).all()
        bound = (
            log_det + space.log_cell - 16 * math.log(2)
        ).mean() / 16  # the model's density is 1/2 per axis
        lacking = 0.0
        if spread:
            half = math.erf(0.5 / spread / math.sqrt(2))
            t = 0.5 / spread
            phi = math.exp(-t * t / 2) / math.sqrt(2 * math.pi)
            entropy = math.log(math.sqrt(2 * math.pi * math.e) * spread * half) - t * phi / half
            lacking = -entropy
        assert float(bound) == pytest.approx(math.log(1 / 4) - lacking, abs=0.02)
    k = space._replace(spread=0.2).vectors(x, u)[0]
    assert torch.equal(space.of_vectors(k), x)


def test_conditions_belong_to_their_examples(rng):
    """A network that is right for the condition alone: data N(c, 0.1) given c."""
    c = torch.randint(2, (300, 1), generator=rng).float() * 4 - 2
    x = c + 0.1**0.5 * torch.randn(300, 1, generator=rng)

    def net(y, sigma, c):
        return (0.1 * y + sigma[:, None] ** 2 * c) / (0.1 + sigma[:, None] ** 2)

    model = vdiff.wrap(net, schedule="ve", predicts="x0", data=(1,))
    found = model.fit(x, c).log_prob(x, c, draws=16)
    truth = torch.distributions.Normal(c, 0.1**0.5).log_prob(x)[:, 0].numpy()
    assert np.abs(found.value - truth).mean() < 0.01 + found.error.mean()
    few = model.log_prob(x[:5], c[:5], draws=16)
    assert np.allclose(few.value, found.value[:5])
    with pytest.raises(VdiffError, match="not what it was trained with"):
        vdiff.wrap(net, schedule="ve", predicts="x0", data=(1,)).fit(x, -c)


def test_two_models_are_compared_on_the_same_noise():
    """An exact network and one that is 2% off: the difference of their bounds, example by example,
    and in the mean above 0."""
    x, keys = examples(600)[0].float(), {"draws": 64, "batch_size": 20_000}
    right, few = wrapped("ve", "x0").fit(x), x[:60]
    wrong = vdiff.wrap(
        lambda y, s: 1.02 * exact(right.sde, "x0")(y, s), schedule="ve", predicts="x0", data=(3,),
        s_min=0.05, check=False,
    )  # fmt: skip
    wrong.fit(x)
    both = right.minus(wrong, x, **keys)
    one, two = (m.log_prob(few, **keys) for m in (right, wrong))
    assert np.allclose(both.value[:60], one.value - two.value)
    assert np.allclose(wrong.minus(right, few, **keys).value, -both.value[:60])
    assert both.value.mean() > 4 * np.square(both.error).mean() ** 0.5 / len(x) ** 0.5
    same = right.minus(right, few, draws=4)
    assert np.abs(same.value).max() == 0
    with pytest.raises(VdiffError, match="differ in their data"):
        right.minus(vdiff.wrap(lambda y, s: y, schedule="ve", predicts="x0", data=(2,)), x)


def test_a_runs_own_network_has_the_tables_numbers(finished):
    """The network of a finished run as anyone's: the table's bits/dim by the same draws, and
    log_prob the same bound by others."""
    folder = finished[0] / "results/smoke/runs/digits/debias-True/seed-0"
    trained = vdiff.load(folder).fit()
    inner = open_folder(folder)
    x = trained.test_examples(64)
    inner.drift()  # loads the weights
    model = vdiff.wrap(
        inner.network, schedule=inner.sde, predicts="drift", data=(1, 8, 8), levels=17, logit=True,
        s_min=1e-9, check=False,
    )  # fmt: skip
    model.fit(inner.data.train_examples()[:1024])
    table = pd.read_csv(folder / "evaluation.csv").groupby("estimator").last()
    settings = load_config({"preset": "smoke"}).experiments["digits"].evaluation
    for estimator in ("published", "efficient"):
        last = int(table["iteration"][estimator])
        found = evaluate(inner, model.drift(), settings, estimator, checkpoint=last)
        assert found.row()["bpd"] == pytest.approx(table["bpd"][estimator], abs=1e-6)
    own, other = trained.log_prob(x, draws=64), model.log_prob(x, draws=64)
    error = np.hypot(own.error, other.error)
    assert np.abs((own.value - other.value) / error).mean() < 1.2
    assert abs((own.value - other.value).mean()) < 4 * error.mean() / 8


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"schedule": "linear"}, "schedule is 'linear'"),
        ({"predicts": "epsilon"}, "predicts is 'epsilon'"),
        ({"predicts": "v", "schedule": "ve"}, "predicts is v"),
        ({"predicts": "F", "schedule": "vp"}, "predicts is F"),
        ({"s_min": 2.0}, "s_min is 2.0"),
        ({"range": (1, -1)}, "range is"),
        ({"dequantisation": 0.0}, "dequantisation is 0.0"),
    ],
)
def test_what_is_wrong_is_said_at_once(keys, words):
    with pytest.raises(VdiffError, match=words.replace("(", r"\(")):
        vdiff.wrap(
            lambda y, t: y, **{"schedule": "vp", "predicts": "noise", "data": (3, 8, 8), **keys}
        )


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(3, 1, 2, 2), "must be grey levels"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), "must be grey levels"),
        (torch.full((3, 1, 2, 2), 20, dtype=torch.uint8), "grey level 20"),
    ],
)
def test_examples_that_do_not_fit_are_refused(x, words):
    model = vdiff.wrap(lambda y, t: y, schedule="ve", predicts="x0", data=(1, 2, 2), levels=16)
    for ask in (model.log_prob, model.discrete):
        with pytest.raises(VdiffError, match=words):
            ask(x)


@pytest.mark.parametrize("abar", [(), (0.9, 0.95, 0.5), (1.0, 0.5, 0.1), (0.9, 0.5, -0.1)])
def test_tables_that_are_none_are_refused(abar):
    with pytest.raises(VdiffError, match="table of noise levels"):
        TableSDE(abar)


def test_a_table_has_its_noise_levels_at_its_steps():
    abar = linear(50)
    sde = TableSDE(abar)
    s = torch.arange(1, 51, dtype=torch.float64) / 50
    assert torch.allclose(sde.m(s).square(), torch.tensor(abar, dtype=torch.float64))
    assert torch.allclose(sde.var(s), 1 - torch.tensor(abar, dtype=torch.float64))
