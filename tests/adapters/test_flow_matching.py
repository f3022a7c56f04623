"""Velocities of flow_matching: the exact one along each of its paths, and of the straight one."""

import pytest
import torch
from support.oracles import MEAN, VARIANCE, assert_gaussian, gaussian_x0

flow_matching = pytest.importorskip("flow_matching", reason="the extra models is not installed")

from flow_matching.path import AffineProbPath, CondOTProbPath  # noqa: E402
from flow_matching.path import scheduler as schedulers  # noqa: E402

from vdiff.adapters.flow_matching import from_flow_matching, from_velocity  # noqa: E402

SCHEDULERS = {
    "CondOT": schedulers.CondOTScheduler,
    "Cosine": schedulers.CosineScheduler,
    "LinearVP": schedulers.LinearVPScheduler,
    "Polynomial": lambda: schedulers.PolynomialConvexScheduler(2.0),
    "VP": schedulers.VPScheduler,
}


def exact(scheduler):
    """The mean of d y / dt given y, by the package's own conversion from a prediction of x."""
    path = AffineProbPath(scheduler)

    def velocity(y, t):
        found = scheduler(t)
        x = gaussian_x0(y, found.alpha_t[:, None], found.sigma_t[:, None])
        return path.target_to_velocity(x, y, t[:, None])

    return velocity


@pytest.mark.parametrize("name", SCHEDULERS)
def test_an_exact_velocity_along_every_path_has_the_true_density(name, rng):
    scheduler = SCHEDULERS[name]()
    assert_gaussian(from_flow_matching(exact(scheduler), scheduler, data=(4,)), (4,), rng)


def test_a_velocity_of_the_straight_path_needs_no_scheduler(rng):
    assert_gaussian(from_velocity(exact(schedulers.CondOTScheduler()), data=(4,)), (4,), rng)


def test_a_network_trained_as_the_package_shows_has_the_density(rng):
    """A linear velocity fitted by least squares on draws of the package's own path: what it learns
    must be what the adapter expects. 0.05 nats per dimension."""
    path, n = CondOTProbPath(), 400_000
    x = MEAN + VARIANCE**0.5 * torch.randn(n, 1, generator=rng)
    noise, t = torch.randn(n, 1, generator=rng), torch.rand(n, generator=rng)
    draw = path.sample(t=t, x_0=noise, x_1=x)
    bins = 50
    at = (t * bins).long()
    lines = []
    for k in range(bins):
        y, v = draw.x_t[at == k].double(), draw.dx_t[at == k].double()
        lines.append(torch.linalg.lstsq(torch.cat([y, torch.ones_like(y)], 1), v).solution[:, 0])
    slope, shift = torch.stack(lines).T

    def net(y, t):
        k = (t * bins).long().clamp(0, bins - 1)
        return (slope[k][:, None] * y + shift[k][:, None]).float()

    examples = MEAN + VARIANCE**0.5 * torch.randn(2000, 1, generator=rng)
    truth = torch.distributions.Normal(MEAN, VARIANCE**0.5).log_prob(examples)[:, 0].numpy()
    found = from_velocity(net, data=(1,)).log_prob(examples, method="ode", tolerance=1e-3)
    assert abs((found.value - truth).mean()) < 0.05
