"""Training: the same bytes whatever happens on the way."""

import json
import random
import signal
import subprocess
import time
from contextlib import suppress
from functools import cache
from itertools import product

import pytest
import torch
from support.commands import vdiff
from support.training import TINY, results, run, start, tiny

from vdiff.config import Run, validate
from vdiff.data import load
from vdiff.data.points import Points
from vdiff.errors import VdiffError
from vdiff.files import checkpoint
from vdiff.files.weights import load_weights
from vdiff.machine.stop import Stopped
from vdiff.trained import network_of
from vdiff.training.loop import train
from vdiff.training.trainer import Trainer


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """fresh(**training): what a training from nothing makes under these keys; each is run once."""
    return cache(lambda **training: run(tmp_path_factory.mktemp("fresh"), **training))


def test_the_same_seed_gives_the_same_bytes(tmp_path, fresh):
    assert run(tmp_path) == fresh()
    assert len(fresh()[1]) == 4  # 0, 20, 40, 60


def test_global_random_state_is_neither_read_nor_changed(tmp_path, fresh):
    torch.manual_seed(6)
    first = fresh()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert run(tmp_path) == first
    assert torch.equal(torch.get_rng_state(), before)


def test_a_longer_run_continues_a_shorter_one(tmp_path, fresh):
    run(tmp_path, iterations=30)
    assert run(tmp_path) == fresh()


def test_time_slices_add_up_to_the_same_bytes(tmp_path, fresh):
    data, slices = load("swissroll"), 0
    while True:
        try:
            train(tiny(), data, tmp_path / "a/state", slice_minutes=1e-3)
            break
        except Stopped as stopped:
            assert "the end of its time slice" in str(stopped)
            slices += 1
    assert 0 < slices <= 60
    assert run(tmp_path / "a") == fresh()


def test_a_part_that_is_started_again_goes_no_further(tmp_path, fresh):
    """As one that was killed after its last save: 30 iterations stay 30; then the same bytes."""
    data = load("swissroll")
    for _ in range(2):
        with pytest.raises(Stopped) as stopped:
            train(tiny(), data, tmp_path / "a/state", until=30)
        assert stopped.value.iteration == 30
    assert run(tmp_path / "a") == fresh()


def test_training_lowers_the_loss(tmp_path):
    rows, _ = train(tiny(iterations=600, lr=0.003, log_every=60), load("swissroll"), tmp_path)
    losses = [row["loss"] for row in rows]
    assert sum(losses[-5:]) / 5 < 0.75 * losses[0]


@pytest.mark.parametrize("change", [{"snapshot_every": 7}, {"iterations": 20}])
def test_a_state_that_does_not_lead_there_is_replaced_with_a_warning(
    tmp_path, caplog, fresh, change
):
    run(tmp_path)
    assert run(tmp_path, **change) == fresh(**change)
    assert "starting over" in caplog.text


@pytest.mark.parametrize("change", [{"log_every": 10}, {"snapshot_every": 40}, {"iterations": 90}])
def test_a_state_that_leads_there_is_continued(tmp_path, caplog, fresh, change):
    caplog.set_level("INFO")
    run(tmp_path)
    assert run(tmp_path, **change) == fresh(**change)
    assert "Resuming at iteration 60" in caplog.text


class Killed(Exception):
    """Ends a training between two steps, as a kill would: nothing is saved for it."""


KEYS = {
    "iterations": (20, 60, 90),
    "snapshot_every": (7, 20, 40),
    "log_every": (7, 10),
    "checkpoint_every": (5, 13),
}
# Every other setting of the product: any three keys have all their values together.
PLACES = [p for p in product(*(range(len(v)) for v in KEYS.values())) if sum(p) % 2 == 0]
GRID = [tuple(v[k] for v, k in zip(KEYS.values(), p, strict=True)) for p in PLACES]


@pytest.mark.parametrize("setting", GRID, ids=str)
def test_any_change_after_a_kill_leads_to_the_bytes_of_a_fresh_run(
    tmp_path, monkeypatch, fresh, setting
):
    """Killed under one setting, twice under another, then to its end: the newest state is left."""
    change = dict(zip(KEYS, setting, strict=True))
    step = Trainer.step

    def killed_after(steps, **training):
        """The newest state that is left by a run killed after so many steps, or at its end."""
        left = iter(range(steps))

        def stepping(trainer):
            if next(left, None) is None:
                raise Killed
            step(trainer)

        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(Trainer, "step", stepping)
            run(tmp_path / "a", **training)
        return max((int(p.name[11:19]) for p in (tmp_path / "a/state").glob("*.pt")), default=0)

    assert killed_after(43) == 40
    first, second = killed_after(15, **change), killed_after(15, **change)
    assert second > first or second == change["iterations"]
    of_results = {k: v for k, v in change.items() if k != "checkpoint_every"}
    assert run(tmp_path / "a", **change) == fresh(**of_results)
    assert killed_after(0, **change) == change["iterations"]


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_state_falls_back_to_the_one_before(tmp_path, caplog, fresh, damage):
    run(tmp_path / "a", iterations=30)
    states = sorted((tmp_path / "a/state").glob("checkpoint-*.pt"))
    assert len(states) == 2
    content = bytearray(states[-1].read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 1
    states[-1].write_bytes(content)
    assert run(tmp_path / "a") == fresh()
    assert "is damaged" in caplog.text


def test_a_state_of_another_configuration_is_refused_by_name(tmp_path):
    run(tmp_path)
    with pytest.raises(VdiffError, match=r"training.lr 0.001, not 0.5"):
        run(tmp_path, lr=0.5)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_state(tmp_path, monkeypatch):
    run(tmp_path, iterations=20)
    data = load("swissroll")
    with pytest.raises(VdiffError, match=r"loss is nan at iteration 21 .* last good state"):
        broken = Points(lambda n, rng: data.sample(n, rng) * float("nan"))
        train(tiny(), broken, tmp_path / "state")
    assert checkpoint.load_latest(tmp_path / "state")["iteration"] == 20


def test_a_network_that_does_not_fit_is_refused():
    with pytest.raises(VdiffError, match="mlp, which takes points"):
        network_of(tiny(), (1, 8, 8))
    images = validate(
        Run, {**TINY, "dataset": "digits", "network": {"multipliers": [1, 2, 2, 2, 2]}}
    )
    with pytest.raises(VdiffError, match="divisible by 16"):
        network_of(images, (1, 8, 8))


def test_weights_load_as_data_only(tmp_path):
    run(tmp_path)
    path = next((tmp_path / "state/snapshots").iterdir())
    assert all(isinstance(v, torch.Tensor) for v in load_weights(path).values())
    torch.save(load_weights(path), tmp_path / "old.pt")  # as the authors' code writes them
    for name, tensor in load_weights(tmp_path / "old.pt").items():
        assert torch.equal(tensor, load_weights(path)[name])
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pt")
    with pytest.raises(VdiffError, match="pickled modules are refused"):
        load_weights(tmp_path / "module.pt")
    with pytest.raises(VdiffError, match="does not match its checksum"):
        load_weights(path, "0" * 64)


def test_sigterm_saves_and_leaves_at_once_and_the_rest_follows(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert start(whole, 600).wait() == 0
    process = start(stopped, 600)
    while not list(stopped.glob("state/*/checkpoint-*.pt")):
        time.sleep(0.05)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert time.monotonic() - asked < 5
    assert b"Stopped by SIGTERM at iteration" in errors
    assert b"Traceback" not in errors
    assert not (stopped / "train.csv").exists()
    assert start(stopped, 600).wait() == 0
    assert results(stopped) == results(whole)


@pytest.mark.long
def test_sigkill_at_ten_random_instants_changes_no_byte(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole, 20_000).wait() == 0
    chance, kills = random.Random(0), 0
    while True:
        process = start(killed, 20_000)
        try:
            process.wait(timeout=chance.uniform(2.5, 5) if kills < 10 else None)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    assert kills >= 10
    assert results(killed) == results(whole)


def test_a_finished_training_drops_the_state_of_what_it_replaces(tmp_path):
    """Of the same results folder alone: another's state beside it stays."""

    def vdiff_train(out, *words):
        command = vdiff("train", "--run", tmp_path / "run.json", "--out", tmp_path / out)
        command += ["--state", str(tmp_path / "state"), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stderr

    (tmp_path / "run.json").write_text(json.dumps(TINY))
    vdiff_train("a")
    vdiff_train("b", "--lr", "0.01")
    assert len(list((tmp_path / "state").glob("*/owner"))) == 2
    assert "Deleted the state in" in vdiff_train("a", "--lr", "0.02")
    kept = {p.read_text() for p in (tmp_path / "state").glob("*/owner")}
    assert kept == {"../a", "../b"}
    assert len(list((tmp_path / "state").glob("*/owner"))) == 2
