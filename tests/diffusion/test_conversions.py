"""The table of docs/likelihood.md: one drift under five names, there and back."""

import pytest
import torch

from vdiff.diffusion.denoise import xhat
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.sdes.cosine import CosineSDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.tensors import expand_like


@pytest.mark.parametrize("sde", [VPSDE(), CosineSDE()], ids=["vp", "cosine"])
def test_every_name_of_the_drift_leads_there_and_back(sde, rng):
    y = torch.randn(50, 3, generator=rng, dtype=torch.float64)
    a = torch.randn(50, 3, generator=rng, dtype=torch.float64)
    s = torch.full((50,), 0.3, dtype=torch.float64)
    m, sigma, g = (expand_like(v(s), y) for v in (sde.m, sde.sigma, sde.g))
    score, noise, denoised = a / g, -sigma * a / g, (y + sigma**2 * a / g) / m
    velocity = -sigma * (y + a / g) / m
    flow = sde.f(y, s) - g * a / 2

    torch.testing.assert_close(denoised, xhat(Reverse(sde, lambda y, s: a, 0.0), y, s))
    torch.testing.assert_close(m * denoised + sigma * noise, y)
    torch.testing.assert_close(velocity, m * noise - sigma * denoised)
    for back in (
        g * score,
        -g * noise / sigma,
        g * (m * denoised - y) / sigma**2,
        -g * (m * velocity / sigma + y),
        2 * (sde.f(y, s) - flow) / g,
    ):
        torch.testing.assert_close(back, a)
