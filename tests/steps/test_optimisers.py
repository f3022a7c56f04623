"""Optimisers and what else a recipe may ask for: each resumes to the same bytes."""

import pytest
import torch
from support.training import run, tiny

from vdiff.config import Training
from vdiff.data import load
from vdiff.diffusion.drift import autocast
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.predictions import drift_of
from vdiff.diffusion.times import Debiased, stratified
from vdiff.machine.stop import Stopped
from vdiff.nets.unet import UNet
from vdiff.training.loop import train
from vdiff.training.muon import Muon, orthogonal
from vdiff.training.optimisers import optimiser_of, rate

RECIPES = {
    "adamw": {"optimiser": "adamw", "weight_decay": 0.01},
    "muon": {"optimiser": "muon", "muon_lr": 0.02},
    "schedule": {"warmup": 10, "decay": 0.5},
    "average": {"ema": 0.99, "ema_warmup": True},
    "draws": {"draws": "low_discrepancy"},
    "fitted": {"law": "fitted"},
    "several": {"draws_per_image": 3},
    "all": {
        "optimiser": "muon", "warmup": 5, "decay": 0.3, "ema": 0.99, "ema_warmup": True,
        "draws": "low_discrepancy", "law": "fitted",
        "draws_per_image": 2,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The bytes of plain Adam."""
    return run(tmp_path_factory.mktemp("plain"), iterations=30)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_resumes_to_the_same_bytes(tmp_path, monkeypatch, plain, name):
    """Stopped by a time slice at every check, and in one go; and not the bytes of plain Adam."""
    monkeypatch.setattr("vdiff.training.trainer.REFIT_EVERY", 10)
    recipe = {**RECIPES[name], "iterations": 30}
    whole = run(tmp_path / "whole", **recipe)
    assert whole != plain
    for _ in range(200):
        try:
            state = tmp_path / "cut/state"
            train(tiny(**recipe), load("swissroll"), state, slice_minutes=1e-4)
        except Stopped:
            continue
        break
    assert run(tmp_path / "cut", **recipe) == whole


def test_the_length_is_part_of_the_course_only_where_the_step_size_decays():
    assert tiny(iterations=60).key(None) == tiny(iterations=90).key(None)
    assert tiny(iterations=60, decay=0.5).key(None) != tiny(iterations=90, decay=0.5).key(None)


def test_the_step_size_warms_up_and_decays_to_nothing():
    t = Training(iterations=100, warmup=10, decay=0.4)
    found = [rate(t, i) for i in range(100)]
    assert found[0] == pytest.approx(0.1)
    assert found[9:61] == [1.0] * 52
    assert found[-1] == pytest.approx(1 / 40)
    assert [rate(Training(), i) for i in (0, 99_999)] == [1.0, 1.0]


def test_a_convolution_is_a_matrix_to_muon(rng):
    """The step is orthogonal up to Newton-Schulz' error: singular values within 0.6 to 1.3 of lr,
    and the weight that moves is the network's own."""
    weight = torch.nn.Parameter(torch.randn(8, 4, 3, 3, generator=rng))
    before = weight.detach().clone()
    optimiser = Muon([weight], lr=0.5, weight_decay=0.0)
    weight.grad = torch.randn(weight.shape, generator=rng)
    optimiser.step()
    change = (before - weight.detach()).flatten(1) / 0.5
    values = torch.linalg.svdvals(change)
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_muon_moves_a_convolution_alike_in_either_layout(rng):
    weight, gradient = torch.randn(2, 8, 4, 3, 3, generator=rng)
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        w = torch.nn.Parameter(weight.clone().to(memory_format=layout))
        optimiser = Muon([w], lr=0.5, weight_decay=0.0)
        w.grad = gradient.to(memory_format=layout)
        optimiser.step()
        moved.append(w.detach() - weight)
    assert moved[1].norm() > 1
    assert torch.allclose(moved[0], moved[1], atol=1e-4)


SHAPES = [(6, 20), (20, 6), (6, 20), (8, 8), (5, 3, 3, 3), (30, 3, 2, 2)]


def _course(optimiser_of, weights, gradients):
    """Weights after the steps of an optimiser of matrices."""
    optimiser = optimiser_of(weights)
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.reshape(weight.shape).clone()
        optimiser.step()
    return [w.detach().flatten(1) for w in weights]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_muon_is_that_of_torch_but_for_its_bfloat16(rng, decay):
    """torch.optim.Muon takes matrices one by one: the same course within the rounding of its
    bfloat16, 2^-8 of a singular value in each of 4 steps. Without momentum's look ahead (steps
    along the momentum alone, the control) it is another course."""
    first = [torch.randn(shape, generator=rng) for shape in SHAPES]
    gradients = [[torch.randn(shape, generator=rng) for shape in SHAPES] for _ in range(4)]
    ours = _course(
        lambda w: Muon(w, lr=0.1, weight_decay=decay),
        [torch.nn.Parameter(w.clone()) for w in first], gradients,
    )  # fmt: skip
    flat = [torch.nn.Parameter(w.flatten(1).clone()) for w in first]
    theirs = _course(lambda w: torch.optim.Muon(w, lr=0.1, weight_decay=decay), flat, gradients)
    plain = [torch.nn.Parameter(w.flatten(1).clone()) for w in first]
    without = _course(
        lambda w: torch.optim.Muon(w, lr=0.1, weight_decay=decay, nesterov=False), plain, gradients
    )
    for a, b, c in zip(ours, theirs, without, strict=True):
        assert (a - b).abs().max() < 4 * 0.1 * 2**-5
        assert (a - c).norm() > 4 * (a - b).norm()


def test_under_autocast_the_products_are_in_bfloat16(rng):
    """As near to the step in float32 as rounding to 2^-9 lets five products be, and not equal."""
    x = torch.randn(3, 24, 60, generator=rng)
    exact = orthogonal(x)
    with autocast("cpu", "bfloat16"):
        rounded = orthogonal(x)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, rounded.bfloat16().float())
    error = (rounded - exact).abs().max()
    assert 2**-10 < error < 2**-4
    with autocast("cpu", "float32"):
        assert torch.equal(orthogonal(x), exact)


def test_a_matrix_moves_alike_whatever_shares_its_shape(rng):
    x = torch.randn(3, 6, 20, generator=rng)
    assert torch.allclose(orthogonal(x)[1], orthogonal(x[1:2])[0], atol=1e-5)


def test_a_step_of_muon_is_few_operations(rng):
    """Counted on the CPU: fewer than a quarter of those of torch's, which has each matrix apart."""
    from torch.profiler import ProfilerActivity, profile

    def operations(make, weights):
        optimiser = make(weights)
        for w in weights:
            w.grad = torch.randn(w.shape, generator=rng)
        optimiser.step()
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            optimiser.step()
        return sum(e.key.startswith("aten::") * e.count for e in seen.key_averages())

    weights = [torch.nn.Parameter(torch.randn(8, 24, generator=rng)) for _ in range(40)]
    ours = operations(lambda w: Muon(w, 0.1, 0.0), weights)
    theirs = operations(lambda w: torch.optim.Muon(w, 0.1, 0.0), weights)
    assert ours < theirs / 4


def test_every_weight_belongs_to_exactly_one_optimiser(rng):
    network = UNet((1, 8, 8), rng, 8, (1, 2), 1, (), time_scale=1000, groups=4, linear=True)
    muon, adamw = optimiser_of(network, Training(optimiser="muon")).optimisers
    rest = [p for group in adamw.param_groups for p in group["params"]]
    both = {id(p) for p in muon.weights} | {id(p) for p in rest}
    assert len(muon.weights) + len(rest) == len(both)
    assert both == {id(p) for p in network.parameters()}
    assert all(p.ndim > 1 for p in muon.weights)
    assert {id(network.end.weight), id(network.linear.coefficients.weight)} <= {id(p) for p in rest}


@pytest.mark.parametrize("parameterisation", ["drift", "score", "noise"])
def test_parameterisations_are_re_expressions_of_one_drift(sde, rng, parameterisation):
    """A network that is exact in its own units gives the exact drift of N(0, 2 I)."""
    y = torch.randn(64, 3, generator=rng, dtype=torch.float64)
    s = torch.linspace(1e-4, 1, 64, dtype=torch.float64)
    marginal = (2 * sde.m(s).square() + sde.var(s))[:, None]
    score = -y / marginal
    g, sigma = sde.g(s)[:, None], sde.sigma(s)[:, None]
    output = {"drift": g * score, "score": score, "noise": -sigma * score}[parameterisation]
    a = drift_of(lambda y, s: output, sde, parameterisation)
    assert torch.allclose(a(y, s), g * score, rtol=1e-10)
    assert a(y, torch.zeros_like(s)).isfinite().all()


@pytest.mark.parametrize("draws", ["independent", "low_discrepancy"])
def test_the_mean_loss_of_a_batch_is_unbiased(sde, rng, draws):
    """Of N(0, I) and a drift twice too large, batches of 32: within 4 standard errors of the
    integral over the law; a bias of 1% of the loss is found with 80% power. Evenly spread times
    have the smaller variance."""
    law, n, repeats = Debiased(sde, 1e-3), 32, 4000
    spread = law.icdf((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)
    # y = m x + sigma eps is N(0, I); a = -2 g y gives sigma a / g + eps = -2 sigma y + eps.
    var = sde.var(spread)
    truth = float((4 * var - 4 * var + 1).mean()) * 2 / 2
    s = torch.cat([law.icdf(stratified(n, rng)) if draws == "low_discrepancy"
                   else law.sample(n, rng) for _ in range(repeats)])  # fmt: skip
    x, eps = (torch.randn(len(s), 2, generator=rng, dtype=torch.float64) for _ in range(2))

    def a(y, s):
        return -2 * sde.g(s.double())[:, None] * y

    means = dsm_loss(sde, a, x, s, eps).reshape(repeats, n).mean(1)
    error = means.std() / repeats**0.5
    assert abs(means.mean() - truth) < 4 * error
    assert 2.8 * error < 0.01 * truth
