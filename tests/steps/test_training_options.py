"""Options of training that must not change what is learned: parts, processes, precision."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from support.commands import vdiff
from support.models import DIGITS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vdiff.config import Evaluation, Run, validate
from vdiff.data import load
from vdiff.errors import VdiffError
from vdiff.files.objects import write_json
from vdiff.files.tidy import read_csv
from vdiff.machine import precision
from vdiff.machine.parallel import Workers, join
from vdiff.machine.precision import gflops
from vdiff.machine.stop import Stopped
from vdiff.pretrained import about, read_pretrained, write_pretrained
from vdiff.steps.evaluate import evaluate
from vdiff.trained import Trained
from vdiff.training.loop import train

TRAINING = {
    "iterations": 20, "batch_size": 16, "lr": 0.002, "log_every": 1,
    "snapshot_every": 20, "checkpoint_every": 10,
}  # fmt: skip
NETWORK = {"channels": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4}


def digits(network=NETWORK, **training):
    keys = {**DIGITS, "network": network, "training": {**TRAINING, **training}}
    return validate(Run, keys)


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    """The losses of the plain run, and its weights."""
    folder = tmp_path_factory.mktemp("plain")
    rows, snapshots = train(digits(), load("digits"), folder)
    return [row["loss"] for row in rows], snapshots[-1].weights()


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tmp_path, curve):
    rows, snapshots = train(digits(micro_batch=5), load("digits"), tmp_path)
    assert np.allclose([row["loss"] for row in rows], curve[0], rtol=1e-4)
    weights = snapshots[-1].weights()
    assert all(torch.allclose(weights[k], v, atol=1e-4) for k, v in curve[1].items())


def torchrun(folder, processes, **training):
    write_json(folder / "run.json", digits(**training).model_dump())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "--", "vdiff", "--threads", "1", "train"]
    command += ["--run", str(folder / "run.json"), "--out", str(folder), "--device", "cpu"]
    environment = {**os.environ, "VDIFF_PROGRESS": "none"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_unequal_shares_follow_the_curve_of_one_process_which_goes_on_from_their_state(
    tmp_path, curve
):
    """Ten iterations by 3 processes, among which a batch of 16 is not split evenly, as when a set
    is smaller than the batch asked for; the rest by one."""
    result = torchrun(tmp_path, 3, iterations=10)
    assert result.returncode == 0, result.stderr
    losses = read_csv(tmp_path / "train.csv", "train")["loss"]
    assert np.allclose(losses, curve[0][: len(losses)], rtol=1e-5)
    assert len(losses) == 10
    write_json(tmp_path / "run.json", digits().model_dump())
    words = ["--threads", 1, "train", "--run", tmp_path / "run.json", "--out", tmp_path]
    command = [*vdiff(*words), "--device", "cpu"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert "Resuming at iteration 10" in result.stderr
    losses = read_csv(tmp_path / "train.csv", "train")["loss"]
    assert np.allclose(losses, curve[0], rtol=1e-5)


def test_a_batch_smaller_than_the_number_of_processes_is_refused():
    with pytest.raises(VdiffError, match="batch of 16 cannot be split among 17 processes"):
        Workers(size=17).check(16)


def test_shares_make_up_the_batch():
    x = torch.arange(12)
    parts = [Workers(rank=k, size=3).share(x) for k in range(3)]
    assert sorted(torch.cat(parts).tolist()) == x.tolist()


FAST, SLOW = {"float32": 1.0, "bfloat16": 2.0}, {"float32": 50.0, "bfloat16": 1.0}


def rated(monkeypatch, rates):
    monkeypatch.setattr(precision, "gflops", lambda name, device="cpu": rates[name])


def losses(found):
    return [row["loss"] for row in found[0]]


def test_a_training_is_in_float32_where_bfloat16_is_slow_and_says_so(
    tmp_path, monkeypatch, caplog, curve
):
    """To the bytes of a float32 training; where it is fast, in bfloat16. The weights say which."""
    rated(monkeypatch, SLOW)
    slow = train(digits(precision="bfloat16"), load("digits"), tmp_path / "slow")
    said = "bfloat16 takes 50 times as long as float32 on this device; computing in float32."
    assert caplog.messages.count(said) == 1
    assert losses(slow) == curve[0]
    assert slow[1][-1].precision == "float32"
    model = Trained(digits(precision="bfloat16"), load("digits"), snapshots=slow[1])
    write_pretrained(
        tmp_path / "a.safetensors",
        model,
        slow[1][-1].weights(),
        20,
        precision=slow[1][-1].precision,
    )
    assert about(tmp_path / "a.safetensors")["precision"] == "float32"
    caplog.clear()
    rated(monkeypatch, FAST)
    fast = train(digits(precision="bfloat16"), load("digits"), tmp_path / "fast")
    assert losses(fast) != curve[0]
    assert fast[1][-1].precision == "bfloat16"
    assert "bfloat16" not in caplog.text


@pytest.mark.parametrize(("begun", "then"), [(SLOW, FAST), (FAST, SLOW)])
def test_a_training_goes_on_in_the_precision_it_was_begun_in(
    tmp_path, monkeypatch, caplog, begun, then
):
    """To the bytes of one that was never moved, whatever the second machine is like."""
    run = digits(precision="bfloat16")
    rated(monkeypatch, begun)
    whole = train(run, load("digits"), tmp_path / "whole")
    with pytest.raises(Stopped):
        train(run, load("digits"), tmp_path / "parts", until=10)
    caplog.clear()
    rated(monkeypatch, then)
    parts = train(run, load("digits"), tmp_path / "parts")
    assert losses(parts) == losses(whole)
    assert parts[1][-1].sha256 == whole[1][-1].sha256
    assert ("what was begun in it goes on in it" in caplog.text) == (then is SLOW)
    assert "computing in float32" not in caplog.text


def test_the_rate_of_products_is_measured_here():
    """Of float32 to within what else this machine does; a whole second of work fits no call."""
    start = time.perf_counter()
    assert 0.1 < gflops("float32") < 1e5
    assert gflops("bfloat16") > 0
    assert time.perf_counter() - start < 5


def test_bfloat16_training_stays_close(tmp_path, monkeypatch, curve):
    rated(monkeypatch, FAST)
    rows, _ = train(digits(precision="bfloat16"), load("digits"), tmp_path)
    losses = [row["loss"] for row in rows]
    assert losses != curve[0]
    assert np.allclose(losses, curve[0], rtol=0.02)


def test_bfloat16_evaluation_is_close_to_float32_but_not_the_same(curve):
    """Why it is off by default: the rounding of the net is a bias that no averaging removes."""
    model = Trained(digits(), load("digits"))
    a = model.drift_with(curve[1])
    found = {}
    for name in ("float32", "tf32", "bfloat16"):
        settings = Evaluation(images=64, precision=name, passes=4, pilot=256)
        found[name] = evaluate(model, a, settings, "efficient").z
    assert np.array_equal(found["tf32"], found["float32"])  # there is no TF32 on a CPU
    difference = (found["bfloat16"] - found["float32"]).mean(0)
    assert 0 < abs(difference.mean()) < 0.02  # bits/dim


def test_a_mirrored_drift_is_trained_as_any_and_mirrored_afterwards(tmp_path, curve):
    """In measurements and in a file of weights; what is trained is at hand for its gradient."""
    run = digits({**NETWORK, "mirrored": True})
    rows, snapshots = train(run, load("digits"), tmp_path)
    assert [row["loss"] for row in rows] == curve[0]
    assert all(torch.equal(v, curve[1][k]) for k, v in snapshots[-1].weights().items())
    model, plain = Trained(run, load("digits")), Trained(digits(), load("digits"))
    model.snapshots = plain.snapshots = snapshots
    y, s = model.data.sample(4, torch.Generator().manual_seed(0)), torch.full((4,), 0.3)
    a, b, c = model.drift(), plain.drift(), model.drift(in_training=True)
    mean = (b(y, s) + b(y.flip(-1), s).flip(-1)) / 2
    assert torch.equal(a(y, s), mean)
    assert not torch.equal(mean, b(y, s))
    assert torch.equal(c(y, s), b(y, s))
    file = tmp_path / "mirrored.safetensors"
    write_pretrained(file, model, snapshots[-1].weights(), 20)
    assert torch.equal(read_pretrained(file).a(y, s), mean)


@pytest.mark.slow
def test_a_compiled_network_follows_the_same_curve(tmp_path):
    """Of one size of images, whose attention is compiled, too: it is compiling that takes time."""
    network = {**NETWORK, "multipliers": [1], "attention": [8]}
    plain, compiled = (
        train(digits(network, compile=compiled), load("digits"), tmp_path / f"{compiled}/state")
        for compiled in (False, True)
    )
    assert np.allclose(losses(compiled), losses(plain), rtol=1e-4)
    assert losses(compiled) != losses(plain)  # as those of other kernels


def published(folder, *more):
    command = vdiff("train", "--preset=smoke", "--dataset=digits")
    command += [f"--saveroot={folder}", "--expname=mine", "--print_every=4", "--sample_every=6"]
    command += ["--checkpoint_every=3", "--num_steps=3", "--batch_size=8", "--lr=0.001"]
    command += ["--num_iterations=12", "--real=True", "--debias=False", "--vtype=gaussian"]
    command += ["--T0=1.0", "--test_batch_size=100", f"--dataroot={folder}", *more]
    environment = {**os.environ, "VDIFF_PROGRESS": "none"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_published_flags_watch_the_run(tmp_path):
    result = published(tmp_path)
    assert result.returncode == 0, result.stderr
    table = read_csv(tmp_path / "mine/evaluation.csv", "evaluation")
    assert table["iteration"].tolist() == [0, 4, 8, 12]
    assert (table["bpd_std_err"] > 0).all()
    events = EventAccumulator(str(tmp_path / "mine")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["bpd", "bpd_std_err", "loss"]
    for name in ("bpd", "bpd_std_err"):
        shown = events.Scalars(name)
        assert [e.step for e in shown] == [0, 4, 8, 12]
        assert np.allclose([e.value for e in shown], table[name])
    images = events.Images("samples")
    assert [e.step for e in images] == [0, 6, 12]
    assert images[0].encoded_image_string.startswith(b"\x89PNG")


def test_an_unknown_probe_is_named(tmp_path):
    result = published(tmp_path, "--vtype=uniform")
    assert result.returncode == 1
    assert "probe is 'uniform'" in result.stderr
    assert "Traceback" not in result.stderr


def test_one_of_several_processes_must_know_which(monkeypatch):
    """As where a scheduler sets WORLD_SIZE for what is not started by torchrun."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(VdiffError, match="WORLD_SIZE is 2 without RANK"), join("cpu"):
        pass
