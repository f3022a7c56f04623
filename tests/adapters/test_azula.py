"""Denoisers of azula: its own exact one in each of its schedules, and its classes of networks."""

import pytest
import torch
from support.oracles import MEAN, VARIANCE, assert_gaussian, gaussian_x0

azula = pytest.importorskip("azula", reason="the extra models is not installed")

from azula import denoise, noise  # noqa: E402
from azula.linalg.covariance import DiagonalCovariance  # noqa: E402

from vdiff.adapters.azula import from_azula  # noqa: E402

SCHEDULES = ["VPSchedule", "VESchedule", "CosineSchedule", "RectifiedSchedule", "DecaySchedule"]


def gaussian(schedule, shape):
    """azula's exact denoiser of the Gaussian; it takes one time for all rows."""
    cov = DiagonalCovariance(torch.full(shape, VARIANCE))
    return denoise.GaussianDenoiser(torch.full(shape, MEAN), cov, schedule)


@pytest.mark.parametrize("name", SCHEDULES)
def test_azulas_exact_denoiser_of_every_schedule_has_the_true_density(name, rng):
    denoiser = gaussian(getattr(noise, name)(), (4,))
    assert_gaussian(from_azula(denoiser, data=(4,)), (4,), rng)


def test_as_many_times_as_the_data_have_entries_are_not_taken_for_one_along_them(rng):
    assert_gaussian(from_azula(gaussian(noise.VPSchedule(), (3,)), data=(3,)), (3,), rng)


class Backbone(torch.nn.Module):
    """What makes azula's preconditioned denoiser exact: of c_in y and log(sigma / alpha)."""

    def __init__(self, karras):
        super().__init__()
        self.karras, self.weight = karras, torch.nn.Parameter(torch.zeros(1))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, y, time):
        level = time.double().exp().reshape(-1, *[1] * (y.ndim - 1))
        total = (1 + level**2).sqrt()
        x0 = gaussian_x0(y * total, 1.0, level)
        out = (x0 - y / total) * total / level if self.karras else x0
        return (out + self.dropout(self.weight)).to(y)


@pytest.mark.parametrize("kind", ["SimpleDenoiser", "KarrasDenoiser"])
def test_azulas_preconditioned_networks_have_the_true_density(kind, rng):
    net = getattr(denoise, kind)(Backbone(kind == "KarrasDenoiser"), noise.VPSchedule())
    assert_gaussian(from_azula(net, data=(4,)), (4,), rng)
    assert all(part.training for part in net.modules())


class Centred(Backbone):
    """That of data about a centre of its own for each example, which it has to be told."""

    def forward(self, y, time, centre):
        far = (1 + (2 * time).exp()).rsqrt()[:, None] * centre  # the centre, as c_in scales y
        return super().forward(y - far, time) + centre


def test_denoisers_take_conditions_by_their_names(rng):
    """The true density under each example's own centre, and not under another's."""
    net = denoise.SimpleDenoiser(Centred(karras=False), noise.VPSchedule())
    model = from_azula(net, data=(3,))
    centre = torch.randn(1000, 3, generator=rng)
    x = centre + MEAN + VARIANCE**0.5 * torch.randn(1000, 3, generator=rng)
    truth = torch.distributions.Normal(MEAN, VARIANCE**0.5).log_prob(x - centre).sum(1).numpy()
    model.fit(x, {"centre": centre})
    found = model.log_prob(x, {"centre": centre}, draws=8)
    off = found.value - truth
    assert abs(off.mean()) < 4 * off.std() / len(x) ** 0.5 + 3 * 0.003
    others = model.log_prob(x, {"centre": centre.flip(0)}, draws=8)
    assert (found.value - others.value).mean() > 1
