"""Gaussian data: the drift is known in closed form."""

import math

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like


def gaussian_drift(sde: SDE, variance: float):
    """The exact drift a = g * score for data N(0, variance I)."""

    def a(y: Tensor, s: Tensor) -> Tensor:
        s = s.double()
        marginal = sde.m(s).square() * variance + sde.var(s)
        return -expand_like((sde.g(s) / marginal).to(y.dtype), y) * y

    return a


MEAN, VARIANCE = 0.2, 0.3
"""Of each axis of the Gaussian that adapters are tested on."""


def gaussian_x0(y: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The exact denoiser of N(MEAN, VARIANCE) at y = alpha x + sigma eps."""
    gain = VARIANCE * alpha / (VARIANCE * alpha**2 + sigma**2)
    return MEAN + gain * (y - MEAN * alpha)


def assert_gaussian(model, shape: tuple[int, ...], rng: torch.Generator) -> None:
    """The model's log_prob is that Gaussian's in the mean, within 4 errors and 0.003 nats per
    dimension; 0.01 nats per dimension would be found with 80% power."""
    x, d = MEAN + VARIANCE**0.5 * torch.randn(2000, *shape, generator=rng), math.prod(shape)
    truth = torch.distributions.Normal(MEAN, VARIANCE**0.5).log_prob(x).flatten(1).sum(1).numpy()
    pilot = MEAN + VARIANCE**0.5 * torch.randn(1024, *shape, generator=rng)
    model.fit(pilot, batch_size=2048)
    off = model.log_prob(x, draws=8, batch_size=4096).value - truth
    error = off.std() / len(x) ** 0.5
    assert 2.8 * error < d * 0.01
    assert abs(off.mean()) < 4 * error + d * 0.003
