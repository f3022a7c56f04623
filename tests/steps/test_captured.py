"""Steps that are replayed: the bytes of those that are not, by few launches, in fixed memory.

No GPU is needed: a tape stands for CUDA's graph, and sees what a graph would get wrong.
"""

import pytest
import torch
from support import tape
from support.models import DIGITS, digits_model
from support.training import run, tiny
from torch.utils._python_dispatch import TorchDispatchMode

from vdiff.config import Evaluation, Run, Variance, validate
from vdiff.data import load
from vdiff.diffusion.drift import in_float64
from vdiff.diffusion.fitted import Fitted
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.samplers import sampler_of
from vdiff.diffusion.stepping import noise_of
from vdiff.machine.captured import SHAPES, Captured, Passes
from vdiff.machine.parallel import Workers
from vdiff.machine.stop import Stopped
from vdiff.steps.evaluate import evaluate, reference_of
from vdiff.steps.gradient import slice_gradients
from vdiff.training.loop import train
from vdiff.training.trainer import Trainer

RECIPES = {
    "paper": {},
    "all": {
        "optimiser": "muon", "warmup": 5, "decay": 0.3, "ema": 0.99, "ema_warmup": True,
        "draws": "low_discrepancy", "law": "fitted", "draws_per_image": 2, "micro_batch": 9,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_replayed_training_has_the_bytes_of_one_in_parts(tmp_path, monkeypatch, name):
    """With step sizes, averages and times that change, and when it is resumed, too."""
    monkeypatch.setattr("vdiff.training.trainer.REFIT_EVERY", 10)
    recipe = RECIPES[name]
    plain = run(tmp_path / "plain", **recipe)
    tape.on(monkeypatch)
    assert run(tmp_path / "graph", **recipe, compile="graph") == plain
    with pytest.raises(Stopped):
        graph = tiny(**recipe, compile="graph")
        train(graph, load("swissroll"), tmp_path / "cut/state", until=33)
    assert run(tmp_path / "cut", **recipe, compile="graph") == plain


def test_the_tape_sees_a_number_that_a_graph_would_keep():
    """The control: were step sizes numbers of a captured function, its course would be another."""
    size, x = [1.0], torch.ones(3)
    replay, found = tape.capture(lambda v: v * size[0], [x])
    size[0] = 2.0
    x.mul_(3)
    replay()
    assert found.tolist() == [3.0, 3.0, 3.0]


class Launches(TorchDispatchMode):
    """Counts operations that are no views, a replay's not among them."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view and "profiler" not in str(func)
        return func(*args, **(kwargs or {}))


def digits(tmp_path, **training):
    keys = {**DIGITS, "training": {"batch_size": 8, "iterations": 50, **training}}
    return Trainer(validate(Run, keys), load("digits"), Workers(), tmp_path)


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_a_step_is_few_launches_in_the_same_memory(tmp_path, monkeypatch, optimiser):
    """And at least five times as many when its parts are launched one by one."""

    def launches(trainer):
        trainer.step()
        trainer.step()
        with Launches() as found:
            trainer.step()
        return found.count

    def places(trainer):
        return [v.data_ptr() for p in trainer.state.network.parameters() for v in (p, p.grad)]

    apart = launches(digits(tmp_path, optimiser=optimiser))
    tape.on(monkeypatch)
    trainer = digits(tmp_path, optimiser=optimiser, compile="graph")
    assert launches(trainer) < min(120, apart / 5)
    before = places(trainer)
    trainer.step()
    assert places(trainer) == before


def other_weights(model, k):
    rng = torch.Generator().manual_seed(k)
    names = model.network.state_dict().items()
    return {name: torch.randn(v.shape, generator=rng) / 10 for name, v in names}


def measured(model):
    """Bits/dim by both estimators, samples and gradients, of two sets of weights in turn."""
    settings = Evaluation(images=20, batch_size=8, passes=2, pilot=64)
    variance = Variance(batch_size=2).model_copy(update={"batches": 1})
    reference = reference_of(model.sde, model.data)
    found = []
    for k in (0, 1, 0):
        a = model.drift_with(other_weights(model, k))
        for name in ("published", "efficient"):
            found.append(evaluate(model, a, settings, name, reference).row()["bpd"])
        x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(k))
        reverse = Reverse(model.sde, in_float64(a), 0.0)
        times = grid_of("uniform", model.sde, 4)
        noise = noise_of(torch.Generator().manual_seed(k))
        found.append(float(sampler_of("euler_maruyama")(reverse, x, times, noise, None).sum()))
    fitted = Fitted.fresh(model.sde, model.eps_t, model.device)
    slices = slice_gradients(model, a, variance, fitted, "gradient")
    return [*found, slices.gram.tolist(), slices.squares.tolist()]


def test_evaluation_sampling_and_gradients_are_replayed_with_the_same_bytes(monkeypatch):
    """Of whatever weights are in the network; and a pass is one launch and some copies."""
    monkeypatch.setattr("vdiff.steps.gradient.GROUPS", 1)
    plain = measured(digits_model())
    assert plain[:3] == plain[6:9] != plain[3:6]
    tape.on(monkeypatch)
    model = digits_model(training={"compile": "graph"})
    assert measured(model) == plain

    def launches(model):
        a, y, s = model.drift_with(other_weights(model, 0)), torch.randn(8, 1, 8, 8), torch.rand(8)
        with torch.no_grad():
            a(y, s)
            with Launches() as found:
                a(y, s)
        return found.count

    assert launches(model) < 8 < launches(digits_model()) / 10


def test_passes_keep_what_they_returned_and_know_when_gradients_are_wanted(monkeypatch):
    """The control: what a captured function itself returns, its next call overwrites."""
    tape.on(monkeypatch)
    net = torch.nn.Linear(2, 2).requires_grad_(False)
    passes, alone = Passes(net, net), Captured(net)
    first, second = torch.randn(2, 3, 2)
    kept, lost = passes(first), alone(first)
    passes(second)
    alone(second)
    assert torch.equal(kept, net(first)) and torch.equal(lost, net(second))
    assert passes(first.requires_grad_()).requires_grad
    assert net.requires_grad_(True) and passes(second).requires_grad
    with torch.no_grad():
        for n in range(2 * SHAPES):
            assert torch.equal(passes(torch.ones(n + 1, 2)), net(torch.ones(n + 1, 2)))
    assert len(passes.captured) == SHAPES


def test_what_cannot_be_captured_is_launched_in_parts_and_said_once(tmp_path, monkeypatch, caplog):
    plain = run(tmp_path / "plain")

    def refused(function, given):
        raise RuntimeError("operation not permitted")

    tape.on(monkeypatch, capturing=refused)
    assert run(tmp_path / "graph", compile="graph") == plain
    assert caplog.text.count("cannot be captured (operation not permitted)") == 1


def test_elsewhere_a_captured_function_is_itself():
    calls = []
    double = Captured(lambda v: calls.append(v) or 2 * v)
    assert double(torch.ones(1)) == double(torch.ones(1)) == 2
    assert len(calls) == 2
