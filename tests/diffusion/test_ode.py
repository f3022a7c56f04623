"""The likelihood of the probability-flow ODE, and that the ELBO lies below the model's."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from support.oracles import gaussian_drift

from vdiff.data import load
from vdiff.diffusion.control import efficient, fit_controls
from vdiff.diffusion.drift import in_float64
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.ode import check_gradient, log_likelihood
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.solver import solve, solve_each
from vdiff.diffusion.tensors import expand_like
from vdiff.diffusion.transforms.identity import identity
from vdiff.errors import VdiffError
from vdiff.nets.mlp import MLP
from vdiff.nets.unet import UNet


def normal_log_prob(x, variance):
    return -(x.square() / variance + math.log(2 * math.pi * variance)).sum(1) / 2


@pytest.mark.parametrize("variance", [0.05, 1.0, 4.0])
def test_gaussian_data_have_their_closed_form(sde, rng, variance):
    x = variance**0.5 * torch.randn(20, 3, generator=rng, dtype=torch.float64)
    found = log_likelihood(sde, gaussian_drift(sde, variance), x, tolerance=1e-7)
    # Y_T is not quite N(0, I): what is left of x at T is exp(-10.05 / 2).
    assert torch.allclose(found.log_prob, normal_log_prob(x, variance), atol=3e-3)
    assert (found.evaluations >= (8 if variance == 1 else 20)).all()  # at 1 it stands still


@pytest.fixture(scope="module")
def mixture():
    sde = VPSDE(0.1, 100)  # long enough that Y_T is N(0, I) to 1e-10
    return Mixture(sde, torch.tensor([[1.5, 0.0], [-1, 1], [0, -1.5]]).double(), 0.04)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8])
def test_a_mixture_has_its_closed_form_to_the_tolerance(mixture, rng, tolerance):
    x = mixture.sample(20, rng)
    exact = mixture.log_prob(x, torch.zeros(20, dtype=torch.float64))

    def error(a):
        found = log_likelihood(mixture.sde, a, x, tolerance=tolerance)
        return (found.log_prob - exact).abs()

    assert error(mixture.a).max() < 10 * tolerance
    assert error(lambda y, s: (1 + 30 * tolerance) * mixture.a(y, s)).max() > 10 * tolerance


def test_a_tighter_tolerance_takes_more_evaluations(mixture, rng):
    x = mixture.sample(10, rng)
    found = [log_likelihood(mixture.sde, mixture.a, x, tolerance=t) for t in (1e-2, 1e-4, 1e-6)]
    counts = torch.stack([f.evaluations for f in found])
    assert counts.dtype == torch.int64
    assert (counts.diff(dim=0) > 0).all()


def test_the_error_is_covered_by_that_of_a_looser_tolerance(mixture, rng):
    """|value - truth| <= 2 |value - looser| + 5 tolerances in 95 of 100; not so by one alone."""
    x, t = mixture.sample(200, rng), 1e-4
    value, looser = (
        log_likelihood(mixture.sde, mixture.a, x, tolerance=v).log_prob for v in (t, 10 * t)
    )
    error = (value - mixture.log_prob(x, torch.zeros(200, dtype=torch.float64))).abs()
    assert (error <= 2 * (value - looser).abs() + 5 * t).double().mean() > 0.95
    assert (error <= t).double().mean() < 0.5


def test_the_swissroll_has_the_density_of_fine_quadrature():
    """Its drift is that of a fine mixture along the spiral, its density an integral over t."""
    sde = VPSDE(0.1, 40)
    mixture = Mixture.spiral(sde, 400)
    x = load("swissroll").sample(8, torch.Generator().manual_seed(0)).double()
    found = log_likelihood(sde, mixture.a, x, tolerance=1e-6).log_prob
    t = np.linspace(1.5, 4.5, 20_001) * np.pi
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], 1) / 5
    square = np.square(x.numpy()[:, None] - spiral).sum(2)
    density = integrate.simpson(np.exp(-square / 0.02) / (0.02 * np.pi), x=t) / (3 * np.pi)
    assert np.abs(found.numpy() - np.log(density)).max() < 0.02


def test_the_density_of_a_network_integrates_to_one(sde):
    rng = torch.Generator().manual_seed(0)
    net, normal = MLP(2, rng, (16,)).requires_grad_(False), gaussian_drift(sde, 1.0)
    a = lambda y, s: normal(y, s) + net(y, s)  # noqa: E731
    axis = torch.linspace(-9, 9, 61, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = log_likelihood(sde, in_float64(a), grid).log_prob.exp()
    assert density.sum().item() * 0.3**2 == pytest.approx(1, abs=2e-3)


def test_hutchinson_agrees_with_the_exact_trace_on_average(sde, rng):
    """A linear field has v^T A v, of mean tr A; the isotropic one has it for every sign vector."""
    a = gaussian_drift(sde, 0.3)
    x = torch.randn(10, 4, generator=rng, dtype=torch.float64)
    probe = torch.randn(10, 4, generator=rng, dtype=torch.float64).sign()
    exact = log_likelihood(sde, a, x, tolerance=1e-7).log_prob
    assert torch.allclose(log_likelihood(sde, a, x, probe, 1e-7).log_prob, exact, atol=1e-5)


def test_single_and_double_precision_networks_agree(sde, rng):
    mixture = Mixture(sde, torch.tensor([[1.0, 0.0], [-1, 0.5]]).double(), 0.1)
    x = mixture.sample(20, rng)
    double = log_likelihood(sde, mixture.a, x).log_prob
    single = log_likelihood(sde, in_float64(mixture.a), x).log_prob
    assert (double - single).abs().max() / (2 * math.log(2)) < 1e-4 * 5


@pytest.mark.parametrize("c", [0.3, 0.8, 1.5])
@pytest.mark.parametrize("args", [(0.1, 3, 1), (0.1, 20, 1)])
def test_the_elbo_lies_below_the_models_own_likelihood(args, c, rng):
    """a = -c g y: the reverse SDE is linear, so its end is N(0, v I) with dv = beta ((1-2c) v + 1).

    In the integrated beta B: v(B) = exp(k B) + (exp(k B) - 1) / k with k = 1 - 2c.
    """
    sde = VPSDE(*args)
    B, k = float(sde.B(torch.tensor(sde.T, dtype=torch.float64))), 1 - 2 * c
    v = math.exp(k * B) + math.expm1(k * B) / k
    a = lambda y, s: -c * expand_like(sde.g(s).to(y.dtype), y) * y  # noqa: E731
    n = 40_000
    unit = torch.ones(2, dtype=torch.float64)
    reference = GaussianReference(sde, 0 * unit, identity, unit, math.inf)
    controls = fit_controls(a, torch.randn(4096, 2, generator=rng).double(), reference, rng)
    for point in ([0.0, 0.0], [1.0, -0.5], [3.0, 1.0]):
        x = torch.tensor([point], dtype=torch.float64)
        eps = torch.randn(n, 2, generator=rng, dtype=torch.float64)
        u = torch.rand(n, generator=rng, dtype=torch.float64)
        elbo = efficient(a, x.expand(n, 2), u, eps, controls).value
        error = elbo.std().item() / n**0.5
        assert elbo.mean().item() <= normal_log_prob(x, v).item() + 4 * error


def decay(rates, seen=None):
    """y' = -rate y, of its own rate for each row; and the integral of y beside it."""

    def field(s, state, rows):
        if seen is not None:
            seen.append((s, rows))
        y = state[:, :1]
        return torch.cat([-rates[rows, None] * y, y], 1)

    return field


RATES = torch.tensor([1.0, 200.0, 2.0], dtype=torch.float64)
START = torch.tensor([[1.0, 0.0]], dtype=torch.float64)


def test_every_example_has_steps_of_its_own():
    """A stiff one beside it changes nothing; with one step for all, by torchdiffeq, it does."""
    start, end = START.expand(3, 2), 2.0
    found, evaluations = solve_each(decay(RATES), start, end, 1e-6)
    exact = torch.stack([(-RATES * end).exp(), -torch.expm1(-RATES * end) / RATES], 1)
    assert torch.allclose(found, exact, rtol=0, atol=1e-5)
    times, every = torch.tensor([0, end]), torch.arange(3)
    joint, _ = solve(lambda s, y: decay(RATES)(s, y, every), start, times, 1e-6)
    for k in range(3):
        alone, count = solve_each(decay(RATES[k : k + 1]), START, end, 1e-6)
        assert torch.equal(evaluations[k : k + 1], count)
        assert (found[k] - alone[0]).abs().max() < 1e-14
        one, _ = solve(lambda s, y, k=k: decay(RATES)(s, y, every[k : k + 1]), START, times, 1e-6)
        assert k == 1 or (joint[-1][k] - one[-1][0]).abs().max() > 1e-12
    assert evaluations[1] > 3 * evaluations[0]


def test_the_last_evaluation_is_at_the_end_and_no_row_is_evaluated_in_vain():
    """However the times round: s + (0.999 - s) is not always 0.999."""
    seen, rates = [], torch.linspace(0.1, 9, 300, dtype=torch.float64)
    _, evaluations = solve_each(decay(rates, seen), START.expand(300, 2), 0.999, 1e-2)
    times, rows = (torch.cat(v) for v in zip(*seen, strict=True))
    assert torch.equal(evaluations, torch.bincount(rows))
    for k in range(300):
        assert times[rows == k].max() == 0.999 == times[rows == k][-1]


def test_a_step_that_leaves_the_domain_is_taken_again_shorter():
    """y' = -50 y by logarithms, which there are of positive numbers only."""
    seen = []

    def field(s, state, rows):
        slope = -50 * state[:, :1].log().exp()
        seen.append(slope)
        return torch.cat([slope, 0 * slope], 1)

    found, _ = solve_each(field, START, 1.0, 1e-2)
    assert found[0, 0].abs() < 0.05
    assert not torch.cat(seen).isfinite().all()


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_a_value_does_not_depend_on_the_batch(mixture, rng, trace):
    x = torch.cat([mixture.sample(5, rng), torch.full((1, 2), 40.0)])  # and one that is far out
    noise = torch.randn(6, 2, generator=rng, dtype=torch.float64)

    def run(rows):
        probe = None if trace == "exact" else noise[rows]
        return log_likelihood(mixture.sde, mixture.a, x[rows], probe)

    order = torch.tensor([5, 3, 0, 1, 2, 4])
    found, again = run(order.sort().values), run(order)
    assert torch.allclose(again.log_prob, found.log_prob[order], rtol=1e-13, atol=1e-12)
    for k in range(5):
        alone = run(torch.tensor([k]))
        assert torch.equal(alone.evaluations, found.evaluations[k : k + 1])
        assert (alone.log_prob - found.log_prob[k]).abs() < 1e-12
    assert len(found.evaluations.unique()) > 1  # else all had left at once


def test_a_condition_goes_with_its_example(mixture, rng):
    """Data moved by as much as each example's condition says, in a space without a middle."""
    x, shift = mixture.sample(6, rng), 3 * torch.randn(6, 2, generator=rng, dtype=torch.float64)

    def of_rows(rows):
        own = shift[rows]
        return lambda y, s: mixture.a(y - mixture.sde.m(s)[:, None] * own, s)

    a = of_rows(torch.arange(6))
    found = log_likelihood(mixture.sde, a, x + shift, None, 1e-6, of_rows).log_prob
    exact = mixture.log_prob(x, torch.zeros(6, dtype=torch.float64))
    assert torch.allclose(found, exact, rtol=0, atol=1e-4)
    with pytest.raises(RuntimeError):  # conditions of six beside what is left of the batch
        log_likelihood(mixture.sde, a, x + shift, None, 1e-6)


@pytest.mark.parametrize("tolerance", [1e-20, 9e-11, 0.11, 0.0, -1e-3, math.inf, math.nan])
def test_a_tolerance_out_of_bounds_is_refused_before_anything_runs(sde, tolerance):
    def a(y, s):
        raise AssertionError("it ran")

    x = torch.zeros(2, 1)
    with pytest.raises(VdiffError, match=r"tolerance is .*; it must be between 1e-10 and 0\.1\."):
        log_likelihood(sde, a, x, None, tolerance)
    with pytest.raises(AssertionError, match="it ran"):
        log_likelihood(sde, a, x, None, 1e-10)


@pytest.mark.parametrize("steepness", [1e3, 1e7, float("inf")])
def test_a_solver_that_cannot_reach_its_tolerance_says_so(sde, rng, steepness, monkeypatch):
    """Stiff, or not finite at all: one sentence, within the stated number of evaluations."""
    monkeypatch.setattr("vdiff.diffusion.solver.MOST_EVALUATIONS", 1000)

    def a(y, s):
        return steepness * torch.sin(steepness * y)

    x = torch.randn(2, 1, generator=rng, dtype=torch.float64)
    with pytest.raises(VdiffError, match=r"cannot reach|has not reached") as fault:
        log_likelihood(sde, a, x, torch.ones_like(x), 1e-9)
    assert "looser one" in str(fault.value)


def test_an_example_that_is_not_finite_is_refused(sde):
    x = torch.tensor([[0.0], [math.inf]])
    with pytest.raises(VdiffError, match="the state is not finite"):
        log_likelihood(sde, gaussian_drift(sde, 1.0), x)
    assert log_likelihood(sde, gaussian_drift(sde, 1.0), x[:1]).log_prob.isfinite().all()


def bfloat16(net):
    def a(y, s):
        with torch.autocast("cpu", torch.bfloat16):
            return net(y, s).to(y.dtype)

    return a


def unet(rng):
    """All of its weights at work, and fine inputs as for grey levels."""
    net = UNet((1, 8, 8), rng, 8, (1, 2), 1, (4,), groups=4, fourier=(800.0,), linear=True)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            torch.nn.init.uniform_(module.weight, -bound, bound, generator=rng)
    return net


def relu(rng):
    W, V = (torch.randn(64, 64, generator=rng) / 8 for _ in range(2))
    return lambda y, s: torch.relu(y @ W) @ V


NETWORKS = {
    "few dimensions": ((2,), lambda rng: MLP(2, rng)),
    "many": ((64,), lambda rng: MLP(64, rng)),
    "relu": ((64,), relu),
    "unet": ((1, 8, 8), unet),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_with_gradients_is_not_refused(kind):
    """In float32 and in bfloat16, one example or many; with half of it under detach, it is."""
    shape, make = NETWORKS[kind]
    for seed in range(1 if kind == "unet" else 4):
        rng = torch.Generator().manual_seed(seed)
        net, other = make(rng), make(rng)
        y, s = torch.randn(16, *shape, generator=rng), torch.full((16,), 0.3)
        for a in (net, bfloat16(net)):
            check_gradient(a, y, s, rng)
            few = 8 if kind == "unet" else 1  # the fewer, the more directions for each
            check_gradient(in_float64(a), y[:few].double(), s[:few].double(), rng)
        half = lambda y, s, a=net, b=other: a(y, s) + b(y.detach(), s)  # noqa: E731
        with pytest.raises(VdiffError, match="not the derivatives of its output"):
            check_gradient(half, y, s, rng)


@pytest.mark.parametrize("variance", [1.0, 1e-4])
def test_exact_drifts_are_not_refused(sde, rng, variance):
    """At low and high noise, where a mixture is steep at the scale of its width."""
    mixture = Mixture(sde, torch.tensor([[1.5, 0.0], [-1, 1]]).double(), variance)
    x, s = mixture.sample(20, rng), torch.linspace(0, sde.T, 20, dtype=torch.float64)
    y = sde.perturb(x, s, torch.randn(20, 2, generator=rng, dtype=torch.float64))
    for a in (mixture.a, in_float64(mixture.a), gaussian_drift(sde, variance)):
        check_gradient(a, y, s, rng)
    with pytest.raises(VdiffError, match="not the derivatives"):
        check_gradient(lambda y, s: mixture.a(y, s) - 0.3 * mixture.a(y.detach(), s), y, s, rng)


BLOCKED = {
    "no_grad": lambda net: torch.no_grad()(net),
    "inference_mode": lambda net: torch.inference_mode()(net),
    "output": lambda net: lambda y, s: net(y, s).detach(),
    "input": lambda net: lambda y, s: net(y.detach(), s),
    "data": lambda net: lambda y, s: net(y.data, s),
    "numpy": lambda net: lambda y, s: net(torch.from_numpy(y.numpy()), s),
}


@pytest.mark.parametrize("trained", [True, False], ids=["requires_grad", "frozen"])
@pytest.mark.parametrize("how", BLOCKED)
def test_a_network_that_blocks_gradients_is_refused(sde, rng, how, trained):
    """By the check, and by the likelihood itself, whose divergence would be taken as 0."""
    net = MLP(2, rng).requires_grad_(trained)
    a, y, s = BLOCKED[how](net), torch.randn(4, 2, generator=rng), torch.full((4,), 0.5)
    for run in (
        lambda a: check_gradient(a, y, s, rng),
        lambda a: log_likelihood(sde, in_float64(a), y, tolerance=1e-2),
    ):
        with pytest.raises(VdiffError, match=r"blocks gradients .* method elbo does not"):
            run(a)
        run(net)


def test_another_fault_of_the_network_is_shown_as_it_is(rng):
    def a(y, s):
        raise RuntimeError("a fault of its own")

    with pytest.raises(RuntimeError, match="a fault of its own"):
        check_gradient(a, torch.zeros(1, 2), torch.zeros(1), rng)
