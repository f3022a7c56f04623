"""Every script under benchmarks/ runs, small, and prints its table."""

import runpy
import sys
from types import SimpleNamespace

import pytest
import torch
from support.models import halved
from support.pipeline import ROOT

from vdiff.data import load
from vdiff.machine import precision

RUN = "results/smoke/runs"
DIGITS = f"{RUN}/digits/debias-True/seed-0"
SMALL = {
    "any_model.py": ["--steps=2", "--images=4", "--draws=4", "--sums=2", "--chain=20"],
    "brute_force.py": ["--images=4", "--times=8", DIGITS],
    "intervals.py": ["--examples=8"],
    "coverage.py": ["--images=4", "--truth=32", DIGITS],
    "diagnosis.py": ["--steps=20", "--nets=1", "--claims=1"],
    "ending.py": ["--steps=5", "--examples=4"],
    "estimators.py": [
        "--images=16",
        "--passes=2",
        "--pilot=64",
        f"{RUN}/digits/debias-True/seed-0",
    ],
    "forms.py": ["--iterations=10", "--seeds=1", "--test=50"],
    "gpu.py": ["--small", "--device=cpu", "--out=gpu"],
    "lambda_error.py": [
        "--samples=200",
        "--steps=5",
        "--checkpoints=2",
        "--figure=lambda.png",
        f"{RUN}/swissroll/debias-False/seed-0",
    ],
    "neighbours.py": ["digits-demo", "--count=9", "--steps=3", "--figure=near.png"],
    "oracle.py": ["--examples=64", "--draws=2", "--schedules=ddpm-linear,edm"],
    "overfitting.py": ["--images=4", "--draws=2", DIGITS],
    "packages.py": ["--steps=2", "--images=2", "--draws=2", "--repeats=2", "--spacing=1"],
    "paper_hour.py": ["--small", "--rates=0", "--device=cpu", "--out=hour"],
    "peers.py": ["--nets=exact", "--images=2", "--passes=8", "--pilot=64", "--steps=5", "--odes=1"],
    "peers.py of a trained one": [
        "--nets=digits-demo",
        "--images=2",
        "--passes=8",
        "--pilot=64",
        "--steps=5",
        "--truth=8",
        "--odes=0",
    ],
    "pretrained.py": ["digits-demo", "--images=4", "--draws=2", "--out=records.csv"],
    "quality.py": ["--dataset=digits", "--n=40", "--repeats=2", "--feature-steps=2"],
    "recipes.py": [
        "--preset=smoke",
        "--experiment=digits",
        "--draws=64",
        "--validation=8",
        "--pilot=64",
        "--seeds=0,1",
        "--recipe=paper: lr=1e-4",
        "--recipe=b: optimiser=muon draws_per_image=2 draw=antithetic network.fourier=[3.14]",
    ],
    "record_course.py": [f"--reference={ROOT}/results/reference/recipes", "--out=course.png"],
    "samplers.py": [
        "--batches=2",
        "--batch=20",
        "--turns=1",
        f"{RUN}/swissroll/debias-False/seed-0",
    ],
    "samplers.py of images": ["--count=6", "--feature-steps=2", DIGITS],
    "sizes.py": ["--sides=4", "--examples=64"],
    "startup.py": ["--repeats=1", "--only=train,aggregate"],
    "training.py": ["--batch=2", "--steps=1", "--rounds=1", "--threads=1"],
}


def test_every_script_is_known():
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    known = {name.split()[0] for name in SMALL}
    assert scripts - {"plain.py", "__init__.py"} == known  # plain.py is a part of training.py


SLOW = (
    "any_model.py",
    "diagnosis.py",
    "gpu.py",
    "intervals.py",
    "oracle.py",
    "packages.py",
    "paper_hour.py",
    "peers.py",
    "samplers.py",
    "samplers.py of images",
    "sizes.py",
    "startup.py",
    "training.py",
)


def course_of(preset, experiment, draws, keys):
    """A recipe of `recipes.py` before its first step, on the digits."""
    from benchmarks import recipes

    options = SimpleNamespace(
        preset=preset, experiment=experiment, draws=draws, dataset="digits", test=8, pilot=8
    )
    return recipes.Course("it", dict(keys), 0, options, load("digits", ROOT / "data"))


def test_recipes_take_a_precision_that_the_processor_has(monkeypatch):
    """As any training does: bfloat16 as slow as float32 is not used, twice as fast it is."""
    for rate, used in ((1.0, "float32"), (100.0, "bfloat16")):
        rates = {"float32": 50.0, "bfloat16": rate}
        monkeypatch.setattr(precision, "gflops", lambda name, device, rates=rates: rates[name])
        course = course_of("smoke", "digits", 8, {"precision": "bfloat16"})
        assert course.trainer.state.precision == used


@pytest.mark.parametrize(("keys", "steps"), [({}, 2), ({"draws_per_image": 1}, 8)])
def test_recipes_take_the_draws_that_are_asked_for(keys, steps):
    """Of the preset's own four draws an image, too, whose passes are the budget of a record."""
    training = course_of("record", "cifar10_hour", 32, keys).trainer.run.training
    assert training.iterations == steps
    assert steps * training.batch_size * training.draws_per_image == 32


@pytest.mark.parametrize(
    "script", [pytest.param(s, marks=pytest.mark.slow) if s in SLOW else s for s in SMALL]
)
def test_a_script_prints_its_table(finished, script, monkeypatch, capfd):
    """In this process, which has torch imported."""
    path = ROOT / "benchmarks" / script.split()[0]
    monkeypatch.chdir(finished[0])
    monkeypatch.setattr(sys, "argv", [str(path), *SMALL[script]])
    monkeypatch.setenv("VDIFF_PROGRESS", "none")
    try:
        if script == "gpu.py":  # as a script it runs in test_paper_hour.py
            from benchmarks import gpu

            monkeypatch.setattr(gpu, "NETS", halved(gpu.NETS))
            gpu.main()
        else:
            runpy.run_path(str(path), run_name="__main__")
    finally:
        torch.set_num_threads(1)
    rows = [line for line in capfd.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    kinds = 4 if script == "gpu.py" else 2  # of tables
    assert len({row.count("|") for row in rows if "|---" not in row}) <= kinds
