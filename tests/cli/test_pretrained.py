"""Weights to take home, and entries for the table of records."""

import json
import math
import shutil
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from support.pipeline import ROOT

import vdiff
from benchmarks.pretrained import first_of
from vdiff.cli import main
from vdiff.data import load
from vdiff.errors import VdiffError
from vdiff.pretrained import about, names

RUN = "results/smoke/runs/digits/debias-True/seed-0"
KEPT = names()


def vdiff_(*words, code=0):
    found = CliRunner().invoke(main, [str(w) for w in words])
    assert found.exit_code == code, found.output
    return found.output


@pytest.mark.parametrize("run", [RUN, "results/smoke/runs/swissroll/debias-False/seed-0"])
def test_a_run_in_one_file_is_the_run(finished, tmp_path, run):
    """The drift to the last bits of float32, without the data."""
    file = tmp_path / "mine.safetensors"
    vdiff_("export-weights", finished[0] / run, "--out", file)
    trained, alone = vdiff.load(finished[0] / run), vdiff.load(file)
    x = trained.test_examples(32)
    y = alone.space.vectors(x, torch.full(x.shape, 0.5))[0]
    s = torch.linspace(1e-4, 1, 32, dtype=torch.float64)
    a = trained.drift()(y.float(), s.float())
    assert torch.allclose(alone.drift()(y.float(), s), a, rtol=1e-4, atol=1e-5)
    assert alone.sample(3, steps=3).shape == (3, *trained.space.shape)
    assert vdiff.load(str(file)).space == alone.space


def test_rounded_weights_are_half_as_large_and_nearly_as_good(finished, tmp_path):
    sizes, means = [], []
    for flags in ([], ["--bfloat16"]):
        file = tmp_path / f"{len(flags)}.safetensors"
        vdiff_("export-weights", finished[0] / RUN, *flags, "--out", file)
        model = vdiff.load(file)
        x = vdiff.load(finished[0] / RUN).test_examples(64)
        sizes.append(file.stat().st_size)
        means.append(model.log_prob(x, draws=4).bits_per_dim.mean())
    assert sizes[1] < 0.7 * sizes[0]
    assert means[1] == pytest.approx(means[0], abs=0.1)


@pytest.mark.parametrize(
    ("content", "words"), [(b"no", "no file of"), (None, "no network of that name")]
)
def test_what_is_no_model_is_said(tmp_path, content, words):
    file = tmp_path / ("x.safetensors" if content else "x")
    if content:
        file.write_bytes(content)
    with pytest.raises(VdiffError, match=words):
        vdiff.load(file)


def test_a_file_without_its_description_is_said(finished, tmp_path):
    file = tmp_path / "w.safetensors"
    vdiff_("export-weights", finished[0] / RUN, "--out", file)
    save_file(load_file(file), file)
    with pytest.raises(VdiffError, match="no file of"):
        vdiff.load(file)
    vdiff_("export-weights", finished[0] / RUN, "--out", tmp_path / "w.pt", code=1)


def test_the_networks_that_come_along_are_small_and_in_the_table():
    table = pd.read_csv(ROOT / "results/reference/pretrained/records.csv").set_index("name")
    assert set(table.index) == set(KEPT)
    assert sum(path.stat().st_size for path in KEPT.values()) < 20e6


@pytest.mark.parametrize("name", KEPT)
def test_a_network_that_comes_along_has_the_tables_number(name, request):
    """On its first test images the bits/dim of the same draws, and of all of them within errors."""
    row = pd.read_csv(ROOT / "results/reference/pretrained/records.csv").set_index("name").loc[name]
    said = about(KEPT[name])["run"]
    data = data_of(said.dataset)
    model = vdiff.load(name)
    x = data.test_examples(int(row["first"]))
    found = first_of(model, data, x)
    assert found.bits_per_dim.mean() == pytest.approx(row["bpd_first"], abs=2e-3)
    error = np.hypot(found.bits_per_dim.std() / len(x) ** 0.5, row["std_err"])
    assert found.bits_per_dim.mean() == pytest.approx(row["bpd"], abs=4 * error)


def data_of(dataset):
    """A known set from the dependencies or ../shared; skips where it is in neither."""
    shared = ROOT.parent / "shared" / "data"
    if dataset.startswith("npz:"):
        if not (shared / "cifar10_subset.npz").is_file():
            pytest.skip("needs the subset of CIFAR-10 in ../shared")
        return load(f"npz:{shared / 'cifar10_subset.npz'}")
    if dataset == "mnist" and not (shared / "MNIST").is_dir():
        pytest.skip("needs MNIST in ../shared")
    return load(dataset, shared)


@pytest.fixture
def crate(finished, tmp_path):
    """A finished folder of one run of digits with its weights, unpacked."""
    out = tmp_path / "smoke.zip"
    vdiff_("export", finished[0] / "results/smoke", "--weights", "--out", out)
    folder = tmp_path / "crate"
    ZipFile(out).extractall(folder)
    for path in (folder / "weights").iterdir():
        if path.name != "digits-debias-True-seed-0.safetensors":
            path.unlink()
    return folder


def test_an_entry_is_confirmed_by_its_weights_and_not_by_others(crate, monkeypatch):
    """The bits/dim of the crate's table on fresh noise, its budget, and a number that is not its
    weights' own."""
    said = vdiff_("record", "check", crate, "--seed", 1, "--draws", 4)
    assert "Confirmed." in said
    assert "640 passes" in said  # 20 steps of 32 images
    table = crate / "runs/digits/debias-True/seed-0/evaluation.csv"
    rows = pd.read_csv(table)
    rows["bpd"] -= 0.3
    shutil.copy(table, table.with_suffix(".true"))
    rows.to_csv(table, index=False)
    assert "Not confirmed" in vdiff_("record", "check", crate, "--seed", 1, code=1)
    shutil.copy(table.with_suffix(".true"), table)
    file = crate / "weights/digits-debias-True-seed-0.safetensors"
    before = json.dumps(about(file), default=lambda run: run.model_dump())
    weights = {name: 1.5 * w for name, w in load_file(file).items()}
    save_file(weights, file, {"vdiff": before})
    assert "Not confirmed" in vdiff_("record", "check", crate, "--seed", 1, code=1)


def test_a_crate_is_checked_as_it_is_published(finished, tmp_path):
    """A ZIP file with every run of the smoke preset, points among them; the record that vdiff has
    for the same data is compared in pairs."""
    out = tmp_path / "smoke.zip"
    vdiff_("export", finished[0] / "results/smoke", "--weights", "--out", out)
    said = vdiff_("record", "check", out, "--seed", 2, "--images", 32)
    runs = len(list((finished[0] / "results/smoke/runs").glob("*/*/*/snapshots.csv")))
    assert said.count("fresh noise (seed 2)") == runs
    assert "Difference from digits-demo, in pairs: +" in said
    assert "Confirmed." in said


@pytest.mark.parametrize("what", ["none", "text", "bare"])
def test_what_is_no_entry_is_said(finished, tmp_path, what):
    path = tmp_path / "x.zip"
    if what == "text":
        path.write_text("no")
    if what == "bare":
        vdiff_("export", finished[0] / "results/smoke", "--out", path)
    said = vdiff_("record", "check", path, code=1)
    assert ("no weights" if what == "bare" else "not a crate") in said


def test_the_data_must_be_the_entrys(crate, tmp_path):
    digits = load("digits")
    arrays = {"train_x": digits.train[:50].numpy(), "test_x": digits.test.numpy(), "levels": 17}
    np.savez(tmp_path / "o.npz", **arrays)
    said = vdiff_("record", "check", crate, "--data", f"npz:{tmp_path / 'o.npz'}", code=1)
    assert "are others than the entry's" in said
    assert not math.isnan(about(next((crate / "weights").iterdir()))["iteration"])
