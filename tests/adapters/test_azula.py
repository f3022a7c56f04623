"""Denoisers of azula: its own exact one, in each of its schedules."""

import math

import numpy as np
import pytest
import torch

azula = pytest.importorskip("azula", reason="the extra models is not installed")

from azula import denoise, noise  # noqa: E402

from vdiff.adapters.azula import from_azula  # noqa: E402

SCHEDULES = ["VPSchedule", "VESchedule", "CosineSchedule", "RectifiedSchedule"]


class Exact(denoise.Denoiser):
    """Of data N(0.2, 0.3) on each axis."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule

    def forward(self, x_t, t):
        alpha, sigma = (v[:, None] for v in self.schedule(t))
        gain = 0.3 * alpha / (0.3 * alpha**2 + sigma**2)
        return denoise.DiracPosterior(mean=0.2 + gain * (x_t - 0.2 * alpha))


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_exact_denoiser_of_every_schedule_has_the_true_density(name, rng):
    """0.01 nats per dimension would be found with 80% power."""
    model = from_azula(Exact(getattr(noise, name)()), data=(4,))
    x = 0.2 + 0.3**0.5 * torch.randn(2000, 4, generator=rng)
    truth = torch.distributions.Normal(0.2, 0.3**0.5).log_prob(x).sum(1).numpy()
    found = model.log_prob(x, draws=8)
    off, error = found.value - truth, math.sqrt(np.square(found.error).mean() / len(x))
    assert 2.8 * error < 4 * 0.01
    assert abs(off.mean()) < 4 * error + 4 * 0.003


def test_azulas_own_network_class_is_taken(rng):
    net = denoise.SimpleDenoiser(Still(), noise.VPSchedule())
    x = torch.randn(64, 1, 4, 4, generator=rng)
    found = from_azula(net, data=(1, 4, 4), levels=None, check=False).log_prob(x, draws=2)
    assert np.isfinite(found.value).all()


class Still(torch.nn.Module):
    """A backbone with one weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5), requires_grad=False)

    def forward(self, y, t):
        return self.weight * y
