"""The contract of a `Model`: what a value depends on, and what it does not."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.oracles import gaussian_drift

import vdiff
from benchmarks.oracle import exact, examples, wrapped
from vdiff.diffusion.control import ControlVariates
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.flow import FlowSDE
from vdiff.diffusion.sdes.ve import VESDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.errors import VdiffError
from vdiff.stats.few import mean_and_error

ASKED = {
    "elbo": lambda m, x, **k: m.log_prob(x, draws=4, **k),
    "ode": lambda m, x, **k: m.log_prob(x, method="ode", draws=2, tolerance=1e-2, **k),
    "discrete": lambda m, x, **k: m.discrete(x, draws=2, repeats=2, layers=8, **k),
    "minus": lambda m, x, **k: m.minus(wrong_by(1.02), x, draws=4, **k),
}


def standard(d=2, factor=1.0, **keys):
    """N(0, I) in d dimensions: its score, or one that is wrong by a factor."""
    return vdiff.wrap(lambda y, s: -factor * y, schedule="vp", predicts="score", data=(d,), **keys)


def wrong_by(factor):
    sde = VESDE()
    return vdiff.wrap(
        lambda y, s: factor * exact(sde, "x0")(y, s), schedule="ve", predicts="x0", data=(3,),
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("how", ASKED)
def test_an_example_has_the_number_that_it_has_among_others(how):
    """Alone, among others, in another order, in batches of other sizes, after other calls: the
    same value and error, to the rounding of the network."""
    x = examples(7)[0].float()
    model, ask = wrapped("ve", "x0"), ASKED[how]
    every = ask(model, x)
    ask(model, 3 * x)
    order = torch.tensor([4, 2, 0, 6, 1, 5, 3])
    for found, rows in (
        (ask(model, x, batch_size=3), slice(None)),
        (ask(model, x[order]), order),
        (ask(model, x[2:3]), [2]),
    ):
        assert np.allclose(found.value, every.value[rows], rtol=1e-5, atol=1e-5)
        assert np.allclose(found.error, every.error[rows], rtol=1e-3, atol=1e-6)
    if how != "ode":  # in three dimensions it has no noise
        assert not np.allclose(ask(model, x, seed=1).value, every.value, rtol=1e-6)


def test_a_repeated_example_has_other_noise():
    x = torch.zeros(3, 2)
    model = standard(check=False)
    found = model.log_prob(x, draws=4)
    assert len(set(found.value)) == 3
    assert np.allclose(model.log_prob(x[:1], draws=4).value, found.value[:1])


@pytest.mark.parametrize(("centre", "size"), [(0, 1), (None, 2), (30, 40), (0, 5)])
def test_an_exact_network_takes_any_examples(rng, centre, size):
    """Few, equal, or far from anything seen: nothing is checked or fitted on them. The truth is
    within four errors."""
    x = torch.zeros(2, 2) if centre is None else centre + torch.randn(size, 2, generator=rng)
    found = standard().log_prob(x, draws=64)
    truth = torch.distributions.Normal(0, 1).log_prob(x).sum(1).numpy()
    assert (np.abs(found.value - truth) < 4 * found.error + 0.01).all()


def test_only_a_fit_changes_what_is_returned(rng):
    """And by noise alone: both have the truth as their mean."""
    x, truth = examples(300)
    model = wrapped("vp", "noise")
    before = model.log_prob(x.float())
    model.fit(examples(200, seed=5)[0].float())
    after = model.log_prob(x.float())
    assert before.fitted_on == "256 samples of its own"
    assert after.fitted_on == "200 examples"
    for found in (before, after):
        off = found.value - truth
        assert abs(off.mean()) < 4 * off.std() / 300**0.5 + 0.003
    assert not np.allclose(before.value, after.value)


def test_batches_are_fitted_on_as_their_examples_are():
    x = examples(100)[0].float()
    one = wrapped("vp", "noise", check=False).fit(x)
    two = wrapped("vp", "noise", check=False).fit(iter(x.split(64)), batch_size=30)
    assert np.allclose(one.log_prob(x[:3]).value, two.log_prob(x[:3]).value, rtol=1e-4)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m, x: m.fit(iter([])), r"x is torch.float32 of shape \(0,\)"),
        (lambda m, x: m.fit(x, batch_size=0), "batch_size is 0; it must be a whole number"),
        (lambda m, x: m.log_prob(x, batch_size=2.5), "batch_size is 2.5; it must be a whole"),
        (lambda m, x: m.log_prob(x, draws=2.5), "draws is 2.5; it must be a whole number of at"),
        (lambda m, x: m.sample(2.5), "n is 2.5"),
        (lambda m, x: m.sample(2, batch_size=0), "batch_size is 0"),
    ],
)
def test_numbers_that_are_none_are_refused(ask, words):
    with pytest.raises(VdiffError, match=words):
        ask(standard(), torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))


def test_a_fit_on_64_examples_takes_several_draws_of_each(monkeypatch):
    """In 1,260 dimensions of variances that differ, on the straight path: an exact network's bound
    is its density and errors cover, with less than a quarter of the variance that one draw of each
    leaves (a thirtieth when this was written)."""
    rng, sde, shape = torch.Generator().manual_seed(0), FlowSDE(), (1, 35, 36)
    variance = 0.1 * torch.randn(shape, generator=rng).exp()

    def net(y, s):  # the velocity: noise less x-hat
        m, sigma = (f(s)[:, None, None, None] for f in (sde.m, sde.sigma))
        return (sigma - m * variance) / (m**2 * variance + sigma**2) * y

    train, x = (variance.sqrt() * torch.randn(n, *shape, generator=rng) for n in (64, 200))
    truth = torch.distributions.Normal(0, variance.sqrt()).log_prob(x).flatten(1).sum(1).numpy()
    keys = {"schedule": "flow", "predicts": "velocity", "data": shape, "levels": None}
    spread = []
    for least in (1, 256):
        monkeypatch.setattr("vdiff.likelihood.model.DRAWS", least)
        found = vdiff.wrap(net, **keys).fit(train).log_prob(x, draws=8)
        off = found.value - truth
        spread.append(off.var())
        assert abs(off.mean()) < 4 * off.std() / len(off) ** 0.5
    assert spread[1] < spread[0] / 4
    assert (np.abs(off) < 1.96 * found.error).mean() > 0.95 - 3 * (0.95 * 0.05 / len(off)) ** 0.5


def test_the_network_never_sees_more_than_a_batch():
    sizes = set()

    def net(y, s):
        sizes.add(len(y))
        return -y

    model = vdiff.wrap(net, schedule="vp", predicts="score", data=(2,))
    model.fit(torch.randn(90, 2), batch_size=40)
    model.log_prob(torch.randn(20, 2), draws=4, batch_size=30)
    model.log_prob(torch.randn(50, 2), method="ode", tolerance=1e-2, batch_size=30)
    assert max(sizes) == 40


def test_a_fit_without_data_is_worth_it(finished):
    """Of a trained network, on digits: a third of the variance of the same strata without controls,
    or less."""
    folder = finished[0] / "results/smoke/runs/digits/debias-True/seed-0"
    trained = vdiff.load(folder)
    x = trained.test_examples(64)
    trained.data = None
    z = trained.draws(x, draws=16)
    assert trained.fitted_on == "256 samples of its own"
    d, guess = trained.space.d, trained.space.guess
    plain = ControlVariates.without_data(trained.sde, d, *guess, trained.eps_t)
    plain = replace(plain, c=0 * plain.c, c_bar=0 * plain.c_bar)
    bare = trained._bounds(plain, x, None, 16, 256, 0, False)
    within = [np.square(v[:, ::2] - v[:, 1::2]).mean() for v in (z, bare)]
    assert within[0] < within[1] / 3


def test_conditions_are_fitted_on_or_the_error_is_not_known(rng):
    """N(c, 0.1) given c, by its exact denoiser."""
    c = torch.randint(2, (300, 1), generator=rng).float() * 4 - 2
    x = c + 0.1**0.5 * torch.randn(300, 1, generator=rng)

    def net(y, sigma, c):
        return (0.1 * y + sigma[:, None] ** 2 * c) / (0.1 + sigma[:, None] ** 2)

    model = vdiff.wrap(net, schedule="ve", predicts="x0", data=(1,))
    assert np.isnan(model.log_prob(x[:3], c[:3]).error).all()
    model.fit(condition=c)
    assert model.fitted_on == "256 samples of its own"
    found = model.log_prob(x, c)
    truth = torch.distributions.Normal(c, 0.1**0.5).log_prob(x)[:, 0].numpy()
    assert 0.92 < np.mean(np.abs(found.value - truth) <= 1.96 * found.error + 0.005) <= 0.99


def test_a_random_network_is_found_out():
    torch.manual_seed(0)
    noisy = vdiff.wrap(
        lambda y, s: -y + 0.2 * torch.randn_like(y), schedule="vp", predicts="score", data=(2,)
    )
    with pytest.raises(VdiffError, match="output is random"):
        noisy.log_prob(torch.zeros(1, 2))


class Net(torch.nn.Module):
    """N(0, I), with dropout and a batch norm that do nothing in eval mode."""

    def __init__(self):
        super().__init__()
        self.drop, self.norm = torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(2, eps=0)

    def forward(self, y, s):
        return -self.drop(self.norm(y))


def test_a_network_in_train_mode_is_asked_in_eval_mode_and_left_as_it_was():
    net = Net()
    net.drop.eval()
    keys = {"schedule": "vp", "predicts": "score", "data": (2,)}
    for given in (net, lambda y, s: net(y, s)):
        with pytest.warns(UserWarning, match="train mode"):
            model = vdiff.wrap(given, **keys)
        value = model.log_prob(torch.zeros(1, 2), draws=64)
        assert abs(value.value[0] + np.log(2 * np.pi)) < 4 * value.error[0] + 0.01
    assert net.training and net.norm.training and not net.drop.training


def test_a_batch_norm_in_train_mode_is_found_out():
    """Where the module cannot be seen from the function."""
    nets = {"it": torch.nn.BatchNorm1d(2)}
    model = vdiff.wrap(lambda y, s: -nets["it"](y), schedule="vp", predicts="score", data=(2,))
    with pytest.raises((VdiffError, ValueError), match=r"others of its batch|more than 1 value"):
        model.log_prob(torch.zeros(1, 2))


def test_a_result_says_how_it_was_made():
    x = examples(70)[0].float()
    found = wrapped("ve", "x0").fit(x).log_prob(x, draws=4, seed=3)
    assert (found.method, found.draws, found.fitted_on) == ("elbo", 4, "70 examples")
    assert found.evaluations == 280
    assert found.tail.verdict in repr(found)
    assert len(repr(found)) < 150
    assert found.seed == 3
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.bits_error, found.bits_error)
    table = found.to_pandas()
    assert list(table) == ["log_prob", "std_err", "bpd", "bpd_std_err"]
    assert np.allclose(table["bpd"], -found.value / 3 / np.log(2))
    _, error = found.mean
    assert error == pytest.approx(table["bpd"].std() / 70**0.5)


def test_progress_is_shown_on_request(capsys, monkeypatch):
    monkeypatch.setenv("VDIFF_PROGRESS", "lines")
    model = standard()
    model.log_prob(torch.zeros(2, 2))
    assert not capsys.readouterr().err
    model.log_prob(torch.zeros(2, 2), progress=True)
    assert "elbo" in capsys.readouterr().err


def gaussian(d, factor=1.0, variance=0.3):
    sde = VPSDE()
    exact_a = gaussian_drift(sde, variance)
    return vdiff.wrap(
        lambda y, s: factor * exact_a(y, s), schedule=sde, predicts="drift", data=(d,), s_min=1e-5
    )


def bound_of(d, factor, x, variance=0.3):
    """The bound of the drift `factor` times the exact one of N(0, variance I), by quadrature:
    log p(x) plus (1 - factor)^2 terms, per coordinate and time."""
    sde = VPSDE()
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    s = u**4  # dense near 0
    ds = 4 * u**3 / 200_000
    v = sde.m(s).square() * variance + sde.var(s)
    x2 = x.double().square().sum(1)
    g2 = sde.g2(s)
    # E[a^2 / 2 + g div a] with a = -factor g y / v and E y^2 = m^2 x^2 + d sigma^2.
    quadratic = (ds * g2 * factor**2 / v.square() * sde.m(s).square()).sum() / 2 * x2
    rest = (ds * g2 * (factor**2 * sde.var(s) / v.square() / 2 - factor / v)).sum() * d
    return (sde.expected_prior(x) - quadratic - rest - sde.minus_integral_of_div_f(d)).numpy()


@pytest.mark.parametrize("fit", [False, True])
@pytest.mark.parametrize("draws", [2, 3, 4, 16, 64])
def test_errors_of_the_bound_cover(draws, fit):
    """Of a drift that misfits by 30%, whose bound is known, alone or among others alike, for an
    example's error is its own: 93 to 97% of 900 intervals, give or take two standard errors of so
    many; 2% more or less would be found with 80% power."""
    model, rng = gaussian(2, 0.7), torch.Generator().manual_seed(draws)
    if fit:
        model.check = False
        model.fit(0.3**0.5 * torch.randn(512, 2, generator=rng))
    x = 0.3**0.5 * torch.randn(900, 2, generator=rng)
    found = model.log_prob(x, draws=draws, batch_size=10_000)
    hits = np.abs(found.value - bound_of(2, 0.7, x)) <= 1.96 * found.error
    slack = 2 * (0.97 * 0.03 / len(hits)) ** 0.5
    assert 0.93 - slack <= hits.mean() <= 0.97 + slack
    loud = found.error > np.quantile(found.error, 0.8)
    assert hits[~loud].mean() > 0.91


def test_errors_that_were_pooled_would_be_found_out():
    """The control: one error for all examples covers the loudest tenth too seldom."""
    model = gaussian(2, 0.7)
    x = 0.3**0.5 * torch.randn(900, 2, generator=torch.Generator().manual_seed(1))
    x[:90] *= 4
    found = model.log_prob(x, draws=16, batch_size=10_000)
    off = np.abs(found.value - bound_of(2, 0.7, x))
    pooled = np.square(found.error).mean() ** 0.5
    own = off[:90] <= 1.96 * found.error[:90]
    assert own.mean() > 0.88
    assert abs((off[90:] <= 1.96 * pooled).mean() - 0.95) > 0.03


@pytest.mark.parametrize(("d", "scale", "draws"), [(64, 0.7, 2), (64, 0.7, 8), (784, 0.1, 4)])
def test_errors_of_the_ode_cover_with_probes(d, scale, draws):
    """An exact mixture, whose divergence is taken by probes; today's one probe and the solver's
    change alone, the control, cover less than half."""
    rng = torch.Generator().manual_seed(1)
    mixture = Mixture(VPSDE(), scale * torch.randn(5, d, generator=rng).double(), 0.05)
    model = vdiff.wrap(
        lambda y, s: mixture.a(y.double(), s.double()), schedule="vp", predicts="drift", data=(d,)
    )
    n = 150 if d < 100 else 32
    x = mixture.sample(n, rng)
    truth = mixture.log_prob(x, torch.zeros(n, dtype=torch.float64)).numpy()
    z, change, _ = model._solutions(x.float(), None, draws, 1e-3, 2048, 0, False)
    value, error = mean_and_error(z, np.zeros(draws, int))
    slack = 2 * (0.97 * 0.03 / n) ** 0.5
    assert np.mean(np.abs(value - truth) <= 1.96 * (error + change.mean(1))) >= 0.93 - slack
    if d == 64:
        assert np.mean(np.abs(z[:, 0] - truth) <= 1.96 * change[:, 0]) < 0.5


def test_one_draw_of_a_random_method_has_no_error():
    x = torch.randn(3, 64)
    found = standard(64).log_prob(x, method="ode", draws=1, tolerance=1e-2)
    assert np.isnan(found.error).all()
    assert np.isnan(standard().discrete(x[:, :2], repeats=1, layers=5).error).all()
    known = standard().log_prob(x[:, :2], method="ode")
    assert (known.error < 0.01).all()
    with pytest.raises(VdiffError, match="draws is 1"):
        standard().log_prob(x[:, :2], draws=1)


@pytest.mark.parametrize("draws", [1, 4])
def test_the_error_of_the_layers_bound_is_that_of_its_value(draws):
    """About the mean of many such values, of 150 points in the plane."""
    mixture = Mixture.spiral(VPSDE())
    model = vdiff.wrap(mixture.a, schedule="vp", predicts="drift", data=(2,))
    x = mixture.sample(150, torch.Generator().manual_seed(2)).float()
    found = model.discrete(x, draws=draws, layers=50, batch_size=10_000)
    many = model.discrete(x, draws=draws, repeats=12, layers=50, seed=1, batch_size=5_000)
    error = np.hypot(found.error, many.error)
    hits = np.abs(found.value - many.value) <= 1.96 * error
    assert 0.93 - 0.028 <= hits.mean() <= 0.97 + 0.028
    single = model.discrete(x, draws=1, repeats=4 * draws, layers=50, batch_size=10_000)
    if draws > 1:
        assert found.value.mean() > single.value.mean()


def test_the_error_of_a_difference_covers():
    """Two misfit drifts of one Gaussian, on shared times and noise: less than the errors of the two
    together, and 93 to 97% of 400 intervals."""
    one, two = gaussian(2, 0.7), gaussian(2, 0.8)
    x = 0.3**0.5 * torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    found = one.minus(two, x, draws=8)
    truth = bound_of(2, 0.7, x) - bound_of(2, 0.8, x)
    slack = 2 * (0.97 * 0.03 / 400) ** 0.5
    assert 0.93 - slack <= np.mean(np.abs(found.value - truth) <= 1.96 * found.error) <= 0.99
    alone = [np.median(m.log_prob(x, draws=8).error) for m in (one, two)]
    assert np.median(found.error) < 0.9 * np.hypot(*alone)


@pytest.mark.parametrize("blocks", ["no_grad", "detach", "inference"])
def test_a_network_without_gradients_is_refused_by_the_ode_alone(blocks):
    def net(y, s):
        if blocks == "detach":
            return -y.detach()
        with torch.no_grad() if blocks == "no_grad" else torch.inference_mode():
            return -y

    model = vdiff.wrap(net, schedule="vp", predicts="score", data=(2,))
    x = torch.zeros(1, 2)
    assert np.isfinite(model.log_prob(x).value).all()
    with pytest.raises(VdiffError, match="blocks gradients"):
        model.log_prob(x, method="ode")


@pytest.mark.parametrize("tolerance", [1e-20, 0, 1.0, float("nan")])
def test_a_tolerance_out_of_reach_is_refused(tolerance):
    with pytest.raises(VdiffError, match="tolerance is"):
        standard().log_prob(torch.zeros(1, 2), method="ode", tolerance=tolerance)


def test_the_mean_is_that_of_the_draws():
    x = examples(5)[0].float()
    model = wrapped("vp", "score")
    value, error = mean_and_error(model.draws(x, draws=6, seed=2))
    found = model.log_prob(x, draws=6, seed=2)
    assert np.array_equal(found.value, value)
    assert np.array_equal(found.error, error)
