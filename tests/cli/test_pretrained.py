"""Weights to take home, and entries for the table of records."""

import json
import math
import struct
from zipfile import ZIP_DEFLATED, ZipFile

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
from vdiff.files.manifest import sha256
from vdiff.pretrained import about, names, write_pretrained
from vdiff.stats.uncertainty import summarise
from vdiff.steps.opening import open_folder

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
    ("content", "words"), [(b"no", "no file of"), (None, "must be a run.s folder")]
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


def header(path):
    """The length of a file's header in bytes, and what it says of itself."""
    content = path.read_bytes()
    (n,) = struct.unpack("<Q", content[:8])
    return n, json.loads(json.loads(content[8 : 8 + n])["__metadata__"]["vdiff"])


@pytest.mark.parametrize("place", [8 + 3, -1, -1000, "middle"])
def test_a_flipped_bit_is_refused(tmp_path, place):
    """In the header and in each part of the tensors; the file itself loads."""
    file = tmp_path / "w.safetensors"
    content = bytearray(KEPT["photos-demo"].read_bytes())
    file.write_bytes(content)
    vdiff.load(file)
    content[len(content) // 2 if place == "middle" else place] ^= 1
    file.write_bytes(content)
    with pytest.raises(VdiffError, match="its own checksum" if place != 11 else "no file of"):
        vdiff.load(file)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"levels": 2}, "its own checksum"),
        ({"levels": 17}, "its own checksum"),
        ({"levels": "many"}, "levels is 'many'; it must be a whole number from 2 to 256"),
        ({"levels": True}, "levels is True; it must be"),
        ({"levels": 257}, "levels is 257; it must be"),
        ({"shape": [3, 32]}, r"shape is \[3, 32\]; it must be \[dimensions\] or"),
        ({"shape": [3, 0, 32]}, "shape is .*; it must be"),
        ({"iteration": -1}, "iteration is -1; it must be"),
        ({"iteration": 2.5}, "iteration is 2.5; it must be"),
        ({"iteration": 301}, "its own checksum"),
        ({"level_counts": [1] * 256}, "level_counts is .*; it must be"),
        ({"data": "abc"}, "data is 'abc'; it must be a SHA-256, or null"),
        ({"sha256": None}, "sha256 is None; it must be a SHA-256"),
        ({"sha256": 64 * "0"}, "its own checksum"),
        ({"more": 1}, "unknown key more"),
        ({"run": {}}, "run.experiment is missing"),
        ({"run": []}, "run.configuration is"),
    ],
)
def test_a_header_is_checked(tmp_path, changed, words):
    """Each key's type and range, in one sentence that has the file; and what is possible but not
    what was written."""
    kept, file = KEPT["photos-demo"], tmp_path / "w.safetensors"
    tensors, said = load_file(kept), header(kept)[1]
    save_file(tensors, file, {"vdiff": json.dumps(said)})
    vdiff.load(file)  # so read and written again it is sound
    save_file(tensors, file, {"vdiff": json.dumps({**said, **changed})})
    with pytest.raises(VdiffError, match=words) as refused:
        vdiff.load(file)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)
    for key in said.keys() & changed.keys():
        lacking = {other: value for other, value in said.items() if other != key}
        save_file(tensors, file, {"vdiff": json.dumps(lacking)})
        with pytest.raises(VdiffError, match=f"lacks {key} in its header"):
            about(file)


def test_counts_of_levels_fit_the_levels(tmp_path):
    kept, file = KEPT["digits-demo"], tmp_path / "w.safetensors"
    said = header(kept)[1]
    for counts in (None, said["level_counts"][1:], [-1] * 17, ["a"] * 17, [0] * 17):
        changed = {**said, "level_counts": counts}
        save_file(load_file(kept), file, {"vdiff": json.dumps(changed)})
        with pytest.raises(VdiffError, match="it must be one count for each level"):
            vdiff.load(file)


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
    x = data.test_examples(None)[: int(row["first"])]
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


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The finished folder as a ZIP file with its weights; made once, not changed."""
    out = tmp_path_factory.mktemp("exported") / "smoke.zip"
    vdiff_("export", finished[0] / "results/smoke", "--weights", "--out", out)
    return out


@pytest.fixture
def crate(exported, tmp_path):
    """Of that file, unpacked, one run of digits with its weights."""
    folder = tmp_path / "crate"
    ZipFile(exported).extractall(folder)
    for path in (folder / "weights").iterdir():
        if path.name != "digits-debias-True-seed-0.safetensors":
            path.unlink()
    return folder


WEIGHTS = "weights/digits-debias-True-seed-0.safetensors"


@pytest.mark.slow
def test_an_entry_is_confirmed_by_its_weights_and_not_by_others(crate, finished):
    """The bits/dim of the crate's table on fresh noise, its budget, and weights that the number is
    not of."""
    said = vdiff_("record", "check", crate, "--seed", 1, "--draws", 4)
    assert "Confirmed." in said
    assert "640 passes in tf32" in said  # 20 steps of 32 images
    assert "on 64 of 297 test images" in said
    assert "No crate can prove the seconds" in said
    model = open_folder(finished[0] / RUN)
    weights = {name: 1.5 * w for name, w in model.snapshots[-1].weights().items()}
    write_pretrained(crate / WEIGHTS, model, weights, 20)
    assert "Not confirmed" in vdiff_("record", "check", crate, "--seed", 1, code=1)


def lie(crate, table=lambda rows: None, run=lambda run: None, draws=lambda arrays: None):
    """Change a crate's files in place, and its manifest so that it has their checksums."""
    folder = crate / "runs/digits/debias-True/seed-0"
    rows = pd.read_csv(folder / "evaluation.csv")
    arrays = dict(np.load(folder / "per_image.npz"))
    said = json.loads((folder / "run.json").read_text())
    table(rows), run(said), draws(arrays)
    rows.to_csv(folder / "evaluation.csv", index=False)
    np.savez(folder / "per_image.npz", **arrays)
    (folder / "run.json").write_text(json.dumps(said))
    manifest = json.loads((crate / "manifest.json").read_text())
    for path in folder.glob("*.*"):
        name = path.relative_to(crate).as_posix()
        manifest["results"][name]["sha256"] = sha256(path)
    (crate / "manifest.json").write_text(json.dumps(manifest))


def to(column, value):
    """Puts a value into the last row of a table."""

    def put(rows):
        rows[column] = rows[column].astype(float)
        rows.loc[rows.index[-1], column] = value

    return put


def summarised(rows, arrays):
    """The table says what the draws do."""
    mean = summarise(arrays["efficient_00000020"], arrays["u"])
    for column, value in {
        "bpd": mean.mean, "bpd_std_err": mean.std_err, "se_mc": mean.se_mc,
    }.items():  # fmt: skip
        to(column, value)(rows)


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({}, None),
        ({"table": to("bpd", 1.0)}, "says that bpd is 1; by per_image.npz it is 9.4"),
        ({"table": to("bpd_std_err", 10)}, "says that bpd_std_err is 10; by"),
        ({"table": to("se_mc", 10)}, "says that se_mc is 10; by"),
        ({"table": to("se_mc", np.nan)}, "says that se_mc is nan; by"),
        ({"table": to("passes", 9)}, "says that passes is 9; by"),
        ({"table": to("images", 297)}, "says that images is 297; by"),
        ({"table": to("iteration", 2)}, "20 in run.json, 20 in train.csv, 2 in evaluation.csv"),
        ({"table": to("examples", 20)}, "has 20 training examples in evaluation.csv, but 640"),
        ({"run": lambda run: run["training"].update(batch_size=1)}, "is another run than the"),
        ({"draws": lambda arrays: arrays.pop("images")}, "lacks the array images"),
        ({"draws": lambda arrays: arrays.update(u=arrays["u"][:, 1:])}, "is no evaluation"),
    ],
)  # fmt: skip
def test_an_entry_that_contradicts_itself(crate, lies, words):
    lie(crate, **lies)
    said = vdiff_("record", "check", crate, "--seed", 1, "--images", 32, code=int(bool(words)))
    assert (words or "Confirmed.") in said


@pytest.mark.parametrize(
    "forged",
    [
        lambda z: z - 0.1,
        lambda z: z.mean() + 0 * z,  # as if images were alike
        lambda z: 1.0 + 80 * np.random.default_rng(0).normal(size=z.shape),  # 1 ± 10
    ],
)
def test_an_entry_that_contradicts_its_weights_alone(crate, forged):
    """Its draws are forged, too, and all files agree; its own errors are not believed."""
    name = "efficient_00000020"
    z = forged(np.load(crate / "runs/digits/debias-True/seed-0/per_image.npz")[name])
    lie(crate, draws=lambda arrays: arrays.update({name: z}))
    arrays = np.load(crate / "runs/digits/debias-True/seed-0/per_image.npz")
    lie(crate, table=lambda rows: summarised(rows, arrays))
    assert "Not confirmed" in vdiff_("record", "check", crate, "--seed", 1, code=1)


def test_an_entry_whose_budget_is_another_in_its_weights(crate, finished):
    """The header alone, and with run.json; the table of training is not so short."""
    model = open_folder(finished[0] / RUN)
    training = model.run.training.model_copy(update={"iterations": 10, "batch_size": 1})
    model.run = model.run.model_copy(update={"training": training})
    weights = model.snapshots[-1].weights()
    write_pretrained(crate / WEIGHTS, model, weights, 10)
    assert "is another run than" in vdiff_("record", "check", crate, code=1)
    lie(crate, run=lambda run: run["training"].update(iterations=10, batch_size=1))
    said = vdiff_("record", "check", crate, code=1)
    assert "10 in run.json, 20 in train.csv, 20 in evaluation.csv and 10 in its weights" in said


def test_other_images_than_the_test_sets(crate):
    """The easiest of them in the place of all."""

    def easiest(arrays):
        arrays["images"] = np.repeat(arrays["images"][:1], len(arrays["images"]))

    lie(crate, draws=easiest)
    assert "are not those of its data" in vdiff_("record", "check", crate, code=1)


@pytest.mark.parametrize("damage", ["encrypted", "bytes", "member", "listed", "manifest"])
def test_a_damaged_crate_is_one_sentence(crate, tmp_path, damage):
    out = tmp_path / "damaged.zip"
    if damage == "member":
        (crate / "runs/digits/debias-True/seed-0/train.csv").unlink()
    if damage == "listed":
        (crate / "runs/digits/debias-True/seed-0/train.csv").write_text("x")
    if damage == "manifest":
        (crate / "manifest.json").write_text("{}")
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        for path in sorted(crate.rglob("*.*")):
            archive.write(path, path.relative_to(crate))
    content = bytearray(out.read_bytes())
    if damage == "bytes":
        content[2000:2200] = bytes(200)
    if damage == "encrypted":  # by the flag of each entry, in its own header and in the directory
        for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            place = content.find(mark)
            while place >= 0:
                content[place + at] |= 1
                place = content.find(mark, place + 1)
    out.write_bytes(content)
    said = vdiff_("record", "check", out, code=1)
    words = {
        "encrypted": "a whole ZIP file without a password, or a folder: File",
        "bytes": "is not a crate; it must be a whole ZIP file",
        "member": "train.csv is not as the manifest has it",
        "listed": "train.csv is not as the manifest has it",
        "manifest": "manifest.json must have `results`",
    }
    assert words[damage] in said and said.count("\n") == 1


@pytest.mark.slow
def test_a_crate_is_checked_as_it_is_published(finished, exported):
    """A ZIP file with every run of the smoke preset, points among them; the record that vdiff has
    for the same data is compared in pairs."""
    said = vdiff_("record", "check", exported, "--seed", 2, "--images", 32)
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
