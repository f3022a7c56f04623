"""Networks and SDEs in the form of Song et al.'s code: its three kinds, in its own conventions."""

import pytest
import torch
from support.oracles import MEAN, VARIANCE, assert_gaussian

from vdiff.adapters.score_sde import from_score_sde


class VP:
    T = 1

    def B(self, t):
        return 0.1 * t + 19.9 * t**2 / 2

    def marginal_prob(self, x, t):
        B = self.B(t)
        return torch.exp(-B / 2).reshape(-1, *[1] * (x.ndim - 1)) * x, (1 - torch.exp(-B)).sqrt()


class SubVP(VP):
    def marginal_prob(self, x, t):
        mean, std = super().marginal_prob(x, t)
        return mean, std**2


class VE:
    T = 1

    def marginal_prob(self, x, t):
        return x, 0.01 * (50 / 0.01) ** t


def exact(sde):
    """The network of that SDE: of labels 999 t minus std times the score; VE's takes std."""

    def net(x, labels):
        labels = labels.double()
        if isinstance(sde, VE):
            mean, std = 1.0, labels[:, None]
        else:
            mean, std = sde.marginal_prob(torch.ones(len(x), 1).double(), labels / 999)
            std = std[:, None]
        score = -(x - mean * MEAN) / (mean**2 * VARIANCE + std**2)
        return (score if isinstance(sde, VE) else -std * score).float()

    return net


@pytest.mark.parametrize("kind", [VP, SubVP, VE])
def test_an_exact_network_of_each_kind_has_the_true_density(kind, rng):
    assert_gaussian(from_score_sde(exact(kind()), kind(), data=(4,)), (4,), rng)
