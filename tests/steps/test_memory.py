"""Estimates of memory against what PyTorch's allocator hands out on the CPU."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from vdiff.config import DATASETS, load_config, run_of
from vdiff.planning.memory import Memory, evaluation_memory, training_memory
from vdiff.trained import network_of


def run_for(preset, name, network=(), **training):
    over = {name: {"training": training, "network": dict(network)}}
    return run_of(load_config({"preset": preset, "experiments": over}), name, "debias-True", 0)


def allocated(step):
    """The most bytes in use during a step, over what was in use before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        step()
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


# Two sizes of images, attention at the lower one: what takes time here is the number of layers.
SHALLOW = {"multipliers": [1, 2], "blocks": 1}


@pytest.mark.parametrize(
    ("preset", "name", "batch"),
    [pytest.param("paper", "mnist", 8, marks=pytest.mark.slow), ("laptop", "mnist", 16)],
)
def test_a_training_step_takes_what_was_estimated(preset, name, batch):
    run, shape = run_for(preset, name, SHALLOW), DATASETS[name]
    net = network_of(run, shape)
    weights = 4 * sum(p.numel() for p in net.parameters())
    optimiser = torch.optim.Adam(net.parameters())
    x, s = torch.randn(batch, *shape), torch.rand(batch)

    def step(examples=batch):
        optimiser.zero_grad()
        net(x[:examples], s[:examples]).square().sum().backward()
        optimiser.step()

    step(1)  # makes the moments
    optimiser.zero_grad()
    measured = allocated(step) + 3 * weights  # which were there before: weights and moments
    average = weights if run.training.ema else 0
    assert training_memory(run, shape).at(batch) - average == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize("paper", [False, True])
def test_an_evaluation_takes_what_was_estimated(paper):
    run, shape, batch = run_for("laptop", "mnist", SHALLOW), DATASETS["mnist"], 32
    net = network_of(run, shape).requires_grad_(False)
    x, s = torch.randn(batch, *shape), torch.rand(batch)

    def step():
        if paper:
            y = x.clone().requires_grad_()
            torch.autograd.grad(net(y, s).sum(), y)
        else:
            with torch.no_grad():
                net(x, s)

    weights = 4 * sum(p.numel() for p in net.parameters())
    measured = allocated(step) + weights
    assert evaluation_memory(run, shape, paper).at(batch) == pytest.approx(measured, rel=0.2)


@pytest.mark.slow
def test_half_precision_halves_what_is_kept_for_the_backward_pass():
    shape = DATASETS["digits"]
    full, half = (
        training_memory(
            run_for("smoke", "digits", {"multipliers": [1]}, precision=name), shape
        ).each
        for name in ("float32", "bfloat16")
    )
    assert 0.4 < half / full < 0.8


def test_the_largest_batch_that_fits():
    memory = Memory(fixed=1e9, each=1e8)
    assert memory.most(8e9, 0.15) == 32  # 5.8e9 is left: 58
    assert memory.most(1e9, 0.15) == 0
    assert memory.at(32) <= 0.85 * 8e9
