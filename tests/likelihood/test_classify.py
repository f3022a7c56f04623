"""Classes by bounds on log p(x | y): exact conditional denoisers of a labelled mixture."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

import vdiff
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.errors import VdiffError
from vdiff.likelihood.classify import posterior_of
from vdiff.stats.few import mean_and_error

VARIANCE = 0.4
MEANS = torch.tensor(
    [[[0.6, 0.0], [0.0, 0.9]], [[-0.5, 0.2], [0.4, -0.6]], [[0.0, 0.3], [0.8, 0.7]]]
).double()
"""Of two components of each of three classes, near each other."""
PRIOR = np.array([0.5, 0.3, 0.2])
CLASSES = [Mixture(VPSDE(), means, VARIANCE) for means in MEANS]


def exact(y, s, label):
    found = torch.stack([c.a(y, s) for c in CLASSES], 1)
    return found[torch.arange(len(y)), label.long()]


def model_of(net=exact, **keys):
    return vdiff.wrap(net, schedule="vp", predicts="drift", data=(2,), check=False, **keys)


def labelled(n, seed):
    rng = torch.Generator().manual_seed(seed)
    label = torch.multinomial(torch.tensor(PRIOR), n, replacement=True, generator=rng)
    k = torch.randint(2, (n,), generator=rng)
    noise = torch.randn(n, 2, generator=rng, dtype=torch.float64)
    return (MEANS[label, k] + VARIANCE**0.5 * noise).float(), label


def truth(x):
    """log p(x | y) (N, 3), p(y | x) (N, 3) and log p(x) (N,)."""
    zero = torch.zeros(len(x)).double()
    given = np.stack([c.log_prob(x, zero).numpy() for c in CLASSES], 1)
    log_p = logsumexp(given + np.log(PRIOR), 1)
    return given, np.exp(given + np.log(PRIOR) - log_p[:, None]), log_p


@pytest.fixture(scope="module")
def model():
    return model_of().fit(*labelled(1024, 9))


def test_the_posterior_and_the_marginal_are_the_true_ones(model):
    """Of 600 examples: values within their errors in 95% of cases or more, the marginal right in
    the mean, and its bits/dim that of the class-free density. Classes in another order are
    rejected."""
    x, _ = labelled(600, 1)
    given, p, log_p = truth(x)
    found = model.classify(x, [0, 1, 2], prior=PRIOR, draws=64, batch_size=8192)
    assert np.allclose(found.posterior.sum(1), 1)
    assert (np.abs(found.posterior - p) <= 1.96 * found.posterior_error + 0.003).mean() > 0.94
    assert (np.abs(found.log_prob - given) <= 1.96 * found.error + 0.01).mean() > 0.93
    off = found.marginal.value - log_p
    assert (np.abs(off) <= 1.96 * found.marginal.error + 0.01).mean() > 0.94
    assert abs(off.mean()) < 4 * off.std() / 600**0.5 + 0.006
    sure = p.max(1) > p.min(1) + 0.5
    assert (found.predicted == p.argmax(1))[sure].mean() > 0.9
    swapped = model.classify(x, [1, 0, 2], prior=PRIOR, draws=64, batch_size=8192)
    missed = np.abs(swapped.posterior - p) > 1.96 * swapped.posterior_error + 0.003
    assert missed[:, :2].mean() > 0.3
    order = model.classify(x[:5], [2, 0, 1], prior=PRIOR[[2, 0, 1]], draws=64)
    assert np.allclose(order.posterior, found.posterior[:5][:, [2, 0, 1]], atol=1e-4)


def test_shared_noise_makes_differences_more_certain():
    """Of classes that are near each other, beside draws of another seed for each."""
    near = [Mixture(VPSDE(), MEANS[0] + shift, VARIANCE) for shift in (0.0, 0.1)]

    def net(y, s, label):
        return torch.stack([c.a(y, s) for c in near], 1)[torch.arange(len(y)), label.long()]

    x, label = labelled(512, 2)
    model = model_of(net).fit(x, label.clamp(max=1))

    def log_odds_error(seed):
        z = [model.draws(x[:200], [k] * 200, draws=32, seed=k * seed) for k in (0, 1)]
        return mean_and_error(z[0] - z[1])[1].mean()

    assert log_odds_error(0) < 0.5 * log_odds_error(1)


@pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("K", [2, 3, 20])
def test_errors_cover_however_noisy_the_bounds(K, noise):
    """Normal draws about known bounds: at least 94% of posteriors and marginals, where a linear
    error, p times that of log p, covers 90% and less; the marginal's bias is less than half that of
    the plain logsumexp, which shows."""
    rng = np.random.default_rng(0)
    L = 2 * rng.normal(size=(1500, K))
    z = L[:, :, None] + rng.normal(size=(1500, 1, 8)) + noise * rng.normal(size=(1500, K, 8))
    even = np.log(np.full(K, 1 / K))
    found = posterior_of(z, even)
    log_p = L - logsumexp(L, 1, keepdims=True)
    inside = np.abs(found.p - np.exp(log_p)) <= 1.96 * found.p_error
    assert inside.mean() > 0.94
    M = logsumexp(L + even, 1)
    assert (np.abs(found.marginal - M) <= 1.96 * found.marginal_error).mean() > 0.94
    plain = logsumexp(z.mean(2) + even, 1) - M
    error = plain.std() / 1500**0.5
    assert abs((found.marginal - M).mean()) < 4 * error + plain.mean() / 2
    if noise == 10:
        assert plain.mean() > 10 * error
        own = z - (found.p[:, :, None] * z).sum(1, keepdims=True)
        linear = found.p * mean_and_error(own.reshape(-1, 8))[1].reshape(-1, K)
        assert (np.abs(found.p - np.exp(log_p)) <= 1.96 * linear).mean() < 0.9


def test_conditions_of_any_kind_are_classes(model):
    """Embeddings, and several arguments by name, of which one is for all."""
    x, _ = labelled(4, 3)

    def net(y, s, *, vector, scale):
        return exact(y, s, (vector @ torch.tensor([0.0, 1.0, 2.0])) * scale)

    by_name = model_of(net)
    by_name.controls = model.controls
    classes = {"vector": torch.eye(3), "scale": 1.0}
    found, same = by_name.classify(x, classes, draws=8), model.classify(x, [0, 1, 2], draws=8)
    assert np.allclose(found.posterior, same.posterior, atol=1e-5)


def test_what_an_example_gets_does_not_depend_on_others(model):
    x, _ = labelled(6, 4)
    every = model.classify(x, [0, 1, 2], draws=8)
    alone = model.classify(x[4:5], [0, 1, 2], draws=8, batch_size=5)
    assert np.allclose(alone.posterior, every.posterior[4], rtol=1e-4)
    assert np.allclose(alone.marginal.value, every.marginal.value[4], rtol=1e-4)
    assert np.allclose(model.log_prob(x, [1] * 6, draws=8).value, every.log_prob[:, 1], rtol=1e-5)


def test_errors_of_a_network_that_is_not_fitted_are_not_known():
    found = model_of().classify(labelled(2, 0)[0], [0, 1], draws=8)
    for error in (found.error, found.posterior_error, found.marginal.error):
        assert np.isnan(error).all()
    assert np.isfinite(found.posterior).all()


REFUSED = {
    "one class": ([0], None, "There are 1 classes"),
    "a number": (3, None, "There are 0 classes"),
    "a sum": ([0, 1], [0.5, 0.4], "sum 0.9"),
    "negative": ([0, 1], [1.5, -0.5], "above 0"),
    "too many": ([0, 1], [0.2, 0.3, 0.5], "must be \\(2,\\)"),
    "a word": ([0, 1], "even", "The prior is 'even'; it must be 2 numbers"),
    "one class twice": ([1, 1], None, "the same under every class"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_are_no_classes_is_refused(model, how):
    classes, prior, words = REFUSED[how]
    with pytest.raises(VdiffError, match=words):
        model.classify(labelled(2, 0)[0], classes, prior=prior)


def test_networks_without_conditions_are_refused():
    x, _ = labelled(64, 0)
    plain = model_of(lambda y, s: CLASSES[0].a(y, s))
    for _ in "12":  # before and after the network's first call
        with pytest.raises(VdiffError, match="The network cannot be asked: TypeError"):
            plain.classify(x[:2], [0, 1])
        plain.fit(x)
    deaf = model_of(lambda y, s, label=None: CLASSES[0].a(y, s))
    with pytest.raises(VdiffError, match="the same under every class"):
        deaf.classify(x[:2], [0, 1])
