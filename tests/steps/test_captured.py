"""Steps that are replayed: the bytes of those that are not, by few launches, in fixed memory.

No GPU is needed: a tape stands for CUDA's graph, and sees what a graph would get wrong.
"""

import pytest
import torch
from support import tape
from support.models import DIGITS
from support.training import run, tiny
from torch.utils._python_dispatch import TorchDispatchMode

from vdiff.config import Run, validate
from vdiff.data import load
from vdiff.machine.captured import Captured
from vdiff.machine.parallel import Workers
from vdiff.machine.stop import Stopped
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
