"""Every command on a pretend accelerator: the CPU's numbers, and how often the host waits.

A wait is a copy or a scalar that the host must have before it goes on; on a GPU each empties the
queue of kernels.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow
HERE, TESTS = Path(__file__).parent / "accelerator", Path(__file__).parents[1]
NETS = ("digits", "swissroll", "improved")
SAMPLERS = ("euler_maruyama", "exponential", "multistep", "stochastic_heun", "heun")


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """(folder, waits, sent) after every command."""
    for tool in ("c++", "ninja"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}, to build the pretend accelerator")
    folder = tmp_path_factory.mktemp("driven")
    environment = {
        **os.environ, "TORCH_EXTENSIONS_DIR": str(folder / "build"), "VDIFF_PROGRESS": "none",
        "PYTHONPATH": os.pathsep.join(
            [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
        ),
    }  # fmt: skip
    said = drive("drive.py", folder, environment)
    return folder, *json.loads(said.splitlines()[-1])


def drive(script, folder, environment):
    command = [sys.executable, str(HERE / script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("net", [*NETS, "captured"])
def test_training_waits_for_nothing_between_log_lines(driven, net):
    """Nor sends anything, for which CUDA would wait for all kernels, but points, which the CPU
    draws. What a graph would hold reads nothing, either, and has the numbers of the CPU's steps."""
    _, waits, sent = driven
    assert waits[f"train-{net}-30"] == waits[f"train-{net}-10"]
    points = 20 if net == "swissroll" else 0
    assert sent[f"train-{net}-30"] == sent[f"train-{net}-10"] + points


def test_sampling_waits_for_nothing_between_its_steps(driven):
    waits = driven[1]
    names = [f"sample-{s}-{net}" for s in SAMPLERS for net in ("digits", "improved")]
    for name in (*names, "quality-digits", "quality-improved", "trajectory", "distances"):
        assert waits[f"{name}-10"] == waits[f"{name}-5"], name
    assert waits["sample-multistep-digits-5"] <= 4
    assert waits["theory"] <= 4


@pytest.mark.parametrize("net", NETS)
def test_an_evaluation_waits_once_for_a_batch(driven, net):
    """16 and 32 images in batches of 8; the efficient estimator makes two passes after 8 batches
    that fit it."""
    waits = driven[1]
    assert [waits[f"evaluate-published-{net}-{n}"] for n in (16, 32)] == [2, 4]
    assert [waits[f"evaluate-efficient-{net}-{n}"] for n in (16, 32)] == [8 + 4, 8 + 8]


@pytest.mark.parametrize("net", NETS)
def test_a_gradient_is_read_once_for_a_batch(driven, net):
    """10 batches in 8 slices of time, and 32 batches of draws with four readings each."""
    assert driven[1][f"variance-{net}"] <= 10 * 8 + 4 * 32


def test_the_benchmark_of_a_new_device_says_what_it_finds(driven):
    """Its numbers agree with the CPU's; what the device has not is named."""
    said = (driven[0] / "gpu.md").read_text()
    loss, gradient, elbo, _ = map(float, re.search(r"\| float32 \| (.*) \|", said)[1].split(" | "))
    assert max(loss, gradient, elbo) < 1e-5
    assert re.search(r"\| cifar10 \| float32 \| [\d,]+ \| \d{3,4} \|", said)
    assert "Left out: parity in bfloat16, which pretend has not" in said
    assert len((driven[0] / "gpu.csv").read_text().splitlines()) == 1 + 6
    replayed = re.findall(r"\| (launched in parts|again|resumed after 10) \| 0.0e\+00 \|", said)
    assert len(replayed) == 3
    assert re.search(r"\| mnist \| TF32, graph \| [\d,]+ \| \d\d \|", said)


def test_every_number_is_the_cpus(driven):
    folder, waits, _ = driven
    assert same_files(folder) == set(waits)


def test_an_accelerator_without_float64_has_the_network_and_the_host_the_sums(driven, tmp_path):
    """As Apple's GPUs are; it refuses float64, so that none is missed."""
    environment = {
        **os.environ, "TORCH_EXTENSIONS_DIR": str(driven[0] / "build"), "VDIFF_PROGRESS": "none",
        "PRETEND_WITHOUT_FLOAT64": "1",
    }  # fmt: skip
    drive("without_float64.py", tmp_path, environment)
    assert len(same_files(tmp_path)) >= 14


def same_files(folder):
    """See that what the device made is what the CPU made; the names compared."""
    compared = set()
    for path in folder.rglob("*"):
        there = str(path.relative_to(folder))
        if "-pretend" not in there or path.suffix not in (".csv", ".npz"):
            continue
        other = folder / there.replace("-pretend", "-cpu")
        if path.suffix == ".npz":
            same_arrays(np.load(path), np.load(other), there)
        elif path.name != "snapshots.csv":
            same_tables(pd.read_csv(path), pd.read_csv(other), there)
        compared.add(there.split("-pretend")[0])
    return compared


def same_tables(a, b, name):
    assert list(a.columns) == list(b.columns)
    for column in a.columns:
        if a[column].dtype.kind != "f":
            assert (a[column] == b[column]).all(), (name, column)
        else:
            close = np.isclose(a[column], b[column], rtol=2e-2, atol=1e-3, equal_nan=True)
            assert close.mean() > 0.9, (name, column, a[column][~close], b[column][~close])


def same_arrays(a, b, name):
    """Grey levels and counts of points may fall to the other side of an edge now and then."""
    assert a.files == b.files
    for key in a.files:
        x, y = (np.asarray(v[key], float) for v in (a, b))
        assert x.shape == y.shape, (name, key)
        assert np.abs(x - y).sum() <= 0.02 * np.abs(y).sum() + 1e-3 * x.size, (name, key)
