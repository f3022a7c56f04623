"""Costs before they are spent: counted FLOPs, and disk as it comes out."""

import re

import pytest
from click.testing import CliRunner

from vdiff.cli import main
from vdiff.cli.planning import rates
from vdiff.config import DATASETS, Variance, load_config, run_of
from vdiff.data import load
from vdiff.machine import precision
from vdiff.planning.costs import costs, forward_gflop
from vdiff.steps import variance
from vdiff.trained import network_of
from vdiff.training.loop import train


@pytest.mark.parametrize(("name", "gflop"), [("mnist", 0.543), ("cifar10", 12.44)])
def test_the_papers_nets_have_the_counted_flops(name, gflop):
    """GFLOP of a forward pass per image, as counted elsewhere for the authors' code."""
    network = network_of(
        run_of(load_config({"preset": "paper"}), name, "debias-True", 0), DATASETS[name]
    )
    assert forward_gflop(network, DATASETS[name]) == pytest.approx(gflop, rel=0.001)


def test_a_published_run_takes_its_published_hours(tmp_path):
    config = load_config({"preset": "paper", "only": ["cifar10"]})
    (row,) = [cost for cost in costs(config, tmp_path) if cost.step == "train"]
    rate, _ = rates()["V100"]
    assert row.jobs == 2
    assert row.hours(rate) / row.jobs == pytest.approx(14, rel=0.01)


def test_disk_is_what_training_writes(tmp_path):
    config = load_config({"preset": "smoke", "only": ["digits"]})
    (row,) = [cost for cost in costs(config, tmp_path) if cost.step == "train"]
    train(run_of(config, "digits", "debias-True", 0), load("digits"), tmp_path)
    weights = [*tmp_path.rglob("*.pt"), *tmp_path.rglob("*.safetensors")]
    written = sum(path.stat().st_size for path in weights)
    tensors = row.disk / row.jobs
    assert tensors < written < 1.3 * tensors + 200_000  # files have names and shapes too


def test_the_forms_of_points_and_images_cost_what_they_take(tmp_path):
    """A pass forward for all, 2 for a gradient by the sliced one's probe and, of points in two
    dimensions, 2 each for the implicit one's."""
    forms = {"draws": 100, "checkpoints": 2}
    each = {"swissroll": {"forms": forms}, "digits": {"forms": forms}}
    config = load_config({"preset": "smoke", "experiments": each})
    found = {c.experiment: c.passes for c in costs(config, tmp_path) if c.step == "forms"}
    assert found == {"swissroll": 2 * 100 * 7, "digits": 2 * 100 * 3}


def test_batches_behind_a_gradient_are_planned_as_many_as_are_measured():
    """They come in ten groups."""
    of = [variance.cost(Variance(batches=n, checkpoints=1), 2, 0, (2,)) for n in (12, 20, 21)]
    assert of[0] == of[1] < of[2]


def test_the_command_adds_up(tmp_path):
    result = CliRunner().invoke(main, ["plan", "smoke", "--gflops", "100"])
    assert result.exit_code == 0, result.output
    assert "disk, GB given" in " ".join(result.output.split())
    assert "Together 34 jobs" in result.output
    assert "fits" not in result.output
    (tmp_path / "one.yaml").write_text(
        "only: [digits]\n"
        "experiments: {digits: {arms: {debias-False: null}, network: {multipliers: [1]}}}\n"
    )
    words = ["plan", "smoke", f"--configfile={tmp_path / 'one.yaml'}", "--memory"]
    result = CliRunner().invoke(main, [*words, "--gflops", "100"])
    assert re.search(r"digits +debias-True +0\.\d\d \(32 at once\) +0\.\d\d \(256\)", result.output)
    result = CliRunner().invoke(main, ["plan", "huge"])
    assert result.exit_code == 1
    assert "must be one of" in result.output


@pytest.mark.parametrize(("rate", "used"), [(1.0, "float32"), (200.0, "bfloat16")])
def test_the_rate_of_this_machine_is_that_of_the_precision_it_would_compute_in(
    monkeypatch, rate, used
):
    """By it 1 GFLOP/s in bfloat16 would take a hundred times as long as what is planned."""
    rates = {"float32": 100.0, "bfloat16": rate}
    monkeypatch.setattr(precision, "gflops", lambda name, device="cpu": rates[name])
    given = CliRunner().invoke(main, ["plan", "record", "--gflops", str(rates[used])])
    found = CliRunner().invoke(main, ["plan", "record"])
    assert found.exit_code == 0, found.output
    assert f"here, {used}: {rates[used]:.0f} GFLOP/s" in found.output
    assert ("computing in float32" in found.output) == (used == "float32")
    time = r"cifar10_hour +train .* (\d+\.?\d* (?:min|h))\n"
    assert re.search(time, found.output)[1] == re.search(time, given.output)[1]
