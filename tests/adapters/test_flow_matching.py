"""Velocities of flow_matching: the exact one along each of its paths, and of the straight one."""

import pytest
import torch
from support.oracles import MEAN, VARIANCE, assert_gaussian, gaussian_x0

flow_matching = pytest.importorskip("flow_matching", reason="the extra models is not installed")

from flow_matching.path import AffineProbPath, CondOTProbPath  # noqa: E402
from flow_matching.path import scheduler as schedulers  # noqa: E402

from vdiff.adapters.flow_matching import from_flow_matching, from_velocity  # noqa: E402
from vdiff.errors import VdiffError  # noqa: E402

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


def noisy_path(sigma):
    """The exact velocity of torchcfm's path, x - noise given y = t x + (1 - t) noise + sigma eps,
    for data with so much less variance that x + sigma eps is the Gaussian of support.oracles."""

    def velocity(y, t):
        t = t.reshape(-1, *[1] * (y.ndim - 1))
        own = VARIANCE - sigma**2
        off = (y - t * MEAN) / (t**2 * own + (1 - t) ** 2 + sigma**2)
        return MEAN + (t * own - (1 - t)) * off

    return velocity


@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.2])
def test_with_noise_beside_the_path_the_density_is_that_of_data_and_noise(sigma, rng):
    assert_gaussian(from_velocity(noisy_path(sigma), data=(4,), sigma=sigma), (4,), rng)


def test_the_noise_beside_the_path_is_not_to_be_left_out(rng):
    with pytest.raises(AssertionError):
        assert_gaussian(from_velocity(noisy_path(0.2), data=(4,)), (4,), rng)


def test_torchcfm_trains_towards_that_velocity(rng):
    """The mean of the package's own targets, less the velocity, is 0 wherever y lies."""
    torchcfm = pytest.importorskip("torchcfm", reason="torchcfm is not installed")
    torch.manual_seed(1)  # torchcfm draws from the global state; another stream than rng
    sigma, n = 0.2, 200_000
    x = MEAN + (VARIANCE - sigma**2) ** 0.5 * torch.randn(n, 1, generator=rng)
    noise = torch.randn(n, 1, generator=rng)
    matcher = torchcfm.ConditionalFlowMatcher(sigma=sigma)
    t, y, target = matcher.sample_location_and_conditional_flow(noise, x)
    off = target - noisy_path(sigma)(y, t)
    for features in (torch.ones_like(y), y, y * t[:, None], t[:, None]):
        product = off * features
        assert abs(product.mean()) < 4 * product.std() / n**0.5


def test_a_negative_sigma_is_refused():
    with pytest.raises(VdiffError, match="sigma is -1; it must be 0 or more"):
        from_velocity(lambda y, t: y, data=(4,), sigma=-1)


@pytest.mark.parametrize("kind", ["straight", "with noise beside", "VP"])
def test_conditions_are_told_by_name_too(kind, rng):
    def net(y, t, label):
        return y * t[:, None] + label[:, None]

    scheduler = schedulers.VPScheduler()
    model = {
        "straight": lambda: from_velocity(net, data=(2,)),
        "with noise beside": lambda: from_velocity(net, data=(2,), sigma=0.1),
        "VP": lambda: from_flow_matching(net, scheduler, data=(2,)),
    }[kind]()
    y, s, label = torch.randn(3, 2, generator=rng), torch.full((3,), 0.4), torch.arange(3.0)
    found = model.score(y, s, label)
    assert torch.equal(model.score(y, s, {"label": label}), found)
    assert not torch.equal(model.score(y, s, {"label": label + 1}), found)
