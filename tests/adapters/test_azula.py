"""Denoisers of azula: its own exact one, in each of its schedules."""

import numpy as np
import pytest
import torch
from support.oracles import assert_gaussian, gaussian_x0

azula = pytest.importorskip("azula", reason="the extra models is not installed")

from azula import denoise, noise  # noqa: E402

from vdiff.adapters.azula import from_azula  # noqa: E402

SCHEDULES = ["VPSchedule", "VESchedule", "CosineSchedule", "RectifiedSchedule"]


class Exact(denoise.Denoiser):
    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule

    def forward(self, x_t, t):
        return denoise.DiracPosterior(
            mean=gaussian_x0(x_t, *(v[:, None] for v in self.schedule(t)))
        )


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_exact_denoiser_of_every_schedule_has_the_true_density(name, rng):
    assert_gaussian(from_azula(Exact(getattr(noise, name)()), data=(4,)), (4,), rng)


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
