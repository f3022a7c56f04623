"""Every script under benchmarks/ runs, small, and prints its table."""

import subprocess
import sys

import pytest
from support.pipeline import ROOT, environment

RUN = "results/smoke/runs"
DIGITS = f"{RUN}/digits/debias-True/seed-0"
SMALL = {
    "coverage.py": ["--images=4", "--truth=32", DIGITS],
    "estimators.py": [
        "--images=16",
        "--passes=2",
        "--pilot=64",
        f"{RUN}/digits/debias-True/seed-0",
    ],
    "forms.py": ["--iterations=10", "--seeds=1", "--test=50"],
    "gpu.py": ["--small", "--device=cpu", "--out=gpu"],
    "quality.py": ["--dataset=digits", "--n=40", "--repeats=2", "--feature-steps=2"],
    "recipes.py": [
        "--preset=smoke",
        "--experiment=digits",
        "--draws=64",
        "--test=8",
        "--pilot=64",
        "--seeds=0,1",
        "--recipe=paper: lr=1e-4",
        "--recipe=b: optimiser=muon draws_per_image=2 draw=antithetic network.fourier=[3.14]",
    ],
    "samplers.py": ["--batches=2", "--batch=20", f"{RUN}/swissroll/debias-False/seed-0"],
    "samplers.py of images": ["--count=6", "--feature-steps=2", DIGITS],
    "training.py": ["--batch=2", "--steps=1", "--rounds=1", "--threads=1"],
}


def test_every_script_is_known():
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    known = {name.split()[0] for name in SMALL}
    assert scripts - {"plain.py", "__init__.py"} == known  # plain.py is a part of training.py


@pytest.mark.parametrize("script", SMALL)
def test_a_script_prints_its_table(finished, script):
    folder, _ = finished
    command = [sys.executable, str(ROOT / "benchmarks" / script.split()[0]), *SMALL[script]]
    done = subprocess.run(
        command, cwd=folder, env=environment(ROOT), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    kinds = 3 if script == "gpu.py" else 2  # of tables
    assert len({row.count("|") for row in rows if "|---" not in row}) <= kinds
