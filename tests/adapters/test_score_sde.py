"""Networks and SDEs in the form of Song et al.'s code: its three kinds, in its own conventions."""

import math

import pytest
import torch
from support.oracles import MEAN, VARIANCE, assert_gaussian

from vdiff.adapters.score_sde import from_score_sde
from vdiff.errors import VdiffError


class VP:
    """As VPSDE in sde_lib.py of github.com/yang-song/score_sde_pytorch behaves when called: the
    mean factor has the axes of a batch of images, and the standard deviation is (B,)."""

    T = 1

    def __init__(self, N=1000):
        self.N = N

    def marginal_prob(self, x, t):
        log_mean = -(19.9 * t**2 / 4 + 0.1 * t / 2)
        return log_mean.exp()[:, None, None, None] * x, (1 - (2 * log_mean).exp()).sqrt()


class SubVP(VP):
    def marginal_prob(self, x, t):
        mean, std = super().marginal_prob(x, t)
        return mean, std**2


class VE(VP):
    def marginal_prob(self, x, t):
        return x, 0.01 * torch.exp(t * math.log(5000))


def exact(sde):
    """The network of that SDE: of labels 999 t minus std times the score; VE's takes std."""

    def net(x, labels):
        labels = labels.double().reshape(-1, *[1] * (x.ndim - 1))
        if isinstance(sde, VE):
            mean, std = 1.0, labels
        else:
            t = labels.reshape(-1) / 999
            mean, std = sde.marginal_prob(torch.ones(len(x), 1, 1, 1).double(), t)
            std = std[:, None, None, None]
        score = -(x - mean * MEAN) / (mean**2 * VARIANCE + std**2)
        return (score if isinstance(sde, VE) else -std * score).float()

    return net


@pytest.mark.parametrize("kind", [VP, SubVP, VE])
def test_an_exact_network_of_images_of_each_kind_has_the_true_density(kind, rng):
    sde = kind(N=500)
    model = from_score_sde(exact(sde), sde, data=(1, 2, 2), levels=None)
    assert_gaussian(model, (1, 2, 2), rng)


def test_vectors_fit_an_sde_that_takes_them(rng):
    assert_gaussian(from_score_sde(exact(VE()), VE(), data=(4,)), (4,), rng)


@pytest.mark.parametrize("kind", [VP, SubVP])
def test_vectors_are_refused_where_the_sde_takes_images(kind):
    """Broadcast, they would have the shape (B, 1, B, 1)."""
    with pytest.raises(VdiffError, match=r"does not take examples of shape \(4,\)"):
        from_score_sde(exact(kind()), kind(), data=(4,))


def test_conditions_are_told_by_name_too(rng):
    sde = VP()
    model = from_score_sde(lambda x, labels, y: x * y.reshape(-1, 1, 1, 1), sde, data=(1, 2, 2))
    x, s, label = torch.randn(3, 1, 2, 2, generator=rng), torch.full((3,), 0.4), torch.arange(3.0)
    found = model.score(x, s, label)
    assert torch.equal(model.score(x, s, {"y": label}), found)
    assert not torch.equal(model.score(x, s, {"y": label + 1}), found)
