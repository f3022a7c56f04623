"""Case 20 of other people's data: what is warned of before training, and what is not."""

import gzip
import subprocess

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from support.commands import vdiff
from support.models import DIGITS
from torchvision.datasets import MNIST

from vdiff.cli import main
from vdiff.config import Run, validate
from vdiff.data import load
from vdiff.data.remarks import Remarks, remarks
from vdiff.errors import VdiffError
from vdiff.files.fingerprint import fingerprint, not_official
from vdiff.files.objects import write_json

RNG = torch.Generator().manual_seed(0)
TRAIN, TEST = (
    torch.randint(256, (n, 3, 4, 4), generator=RNG, dtype=torch.uint8) for n in (200, 40)
)


def said(train, test):
    return remarks({"training images": train, "test images": test})


def test_images_that_are_what_they_seem_are_not_remarked_on():
    assert said(TRAIN, TEST) == []
    assert said(TRAIN[:, :1], TEST[:, :1]) == []


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (TRAIN[:, :1].expand(-1, 3, -1, -1), TEST, "grey ones stored as RGB"),
        (TRAIN, TRAIN[:40], "40 of 40 test images are training images"),
        (TRAIN[:50].repeat(4, 1, 1, 1), TEST, "150 of 200 training images repeat an earlier"),
        (TRAIN, TEST[:1].expand(40, -1, -1, -1), "39 of 40 test images repeat"),
        (
            TRAIN * (torch.arange(200) > 2)[:, None, None, None],
            TEST,
            "3 of 200 training imag",
        ),
    ],
)
def test_images_that_are_not_are(train, test, words):
    assert any(words in sentence for sentence in said(train, test))


def test_parts_of_a_set_say_what_the_whole_does():
    train, test = TRAIN[:50, :1].repeat(4, 3, 1, 1), TRAIN[:40, :1].repeat(1, 3, 1, 1)
    parts = Remarks()
    for k in range(0, 200, 70):
        parts.add("training images", train[k : k + 70])
    for k in range(0, 40, 9):
        parts.add("test images", test[k : k + 9])
    assert len(parts.said()) == 4
    assert parts.said() == said(train, test)


def test_the_sets_that_come_along_are_what_they_seem(tmp_path):
    for name in ("digits", "photos"):
        data = load(name, tmp_path)
        assert said(data.train, data.test) == []


def test_training_says_so_first(tmp_path):
    rgb = TRAIN[:, :1].expand(-1, 3, -1, -1).numpy()
    np.savez(tmp_path / "own.npz", train_x=rgb, test_x=rgb[:20])
    training = {"iterations": 1, "batch_size": 4, "log_every": 1, "snapshot_every": 1}
    data = {"dataset": f"npz:{tmp_path / 'own.npz'}", "training": training}
    write_json(tmp_path / "run.json", validate(Run, {**DIGITS, **data}).model_dump())
    words = ["--run", tmp_path / "run.json", "--out", tmp_path / "out"]
    done = subprocess.run(vdiff("train", *words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "three equal colours" in done.stderr
    assert "20 of 20 test images are training images" in done.stderr


MODEL = """
import vdiff

def make():
    return vdiff.wrap(lambda y, s: -y, schedule="vp", predicts="score", data=(3, 4, 4))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODEL)
    return tmp_path


@pytest.mark.parametrize("chunks", [False, True])
def test_scoring_says_so_first(folder, chunks):
    """In one process and by the job that cuts the data: the same sentences."""
    grey = TRAIN[:4, :1].repeat(1, 3, 1, 1).numpy()
    np.savez("a.npz", x=TEST[:6].numpy())
    np.savez("b.npz", x=np.concatenate([TEST[4:6].numpy(), TRAIN[:6].numpy(), TRAIN[:1].numpy()]))
    np.savez("grey.npz", x=grey)
    np.savez("train.npz", x=np.concatenate([TRAIN[100:170].numpy(), TEST[:3].numpy()]))
    words = [w for name in ("a", "b", "grey") for w in ("--data", f"{name}.npz")]
    words += ["--model", "m.py:make", "--train", "train.npz", "--draws", "2"]
    how = ["chunks", "cut", "--into", "out"] if chunks else ["score", "--out", "out.csv"]
    done = CliRunner().invoke(main, [*how, *words])
    assert done.exit_code == 0, done.output
    for sentence in (
        "2 of 9 examples of b.npz are examples of a.npz too",
        "1 of 9 examples of b.npz repeat an earlier one",
        "All examples of grey.npz have three equal colours",
        "3 of 73 examples that models are fitted on are examples of a.npz too",
    ):
        assert sentence in done.output
    assert "0 of" not in done.output


def idx(path, *shape, seed=0):
    """A file of uint8 numbers as MNIST has them."""
    x = np.random.default_rng(seed).integers(0, 10, shape, dtype=np.uint8)
    head = np.array([0x0800 + len(shape), *shape], ">i4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + x.tobytes())


def test_the_published_mnist_is_the_published_one(shared, tmp_path):
    assert not_official("mnist", shared / "data") == []
    assert not_official("mnist", tmp_path) == []  # a download is checked


def test_an_mnist_of_ten_images_is_not_the_published_one(folder):
    for name, n in (("train", 10), ("t10k", 4)):
        idx(folder / f"data/MNIST/raw/{name}-images-idx3-ubyte", n, 28, 28)
        idx(folder / f"data/MNIST/raw/{name}-labels-idx1-ubyte", n)
    fetch = CliRunner().invoke(main, ["fetch", "mnist", "--out", "elsewhere"])
    assert fetch.exit_code == 0
    words = "The files of mnist under {} are not the official ones"
    assert words.format("data") in fetch.output
    assert words.format("elsewhere") in not_official("mnist", folder / "elsewhere")[0].replace(
        f"{folder}/", ""
    )


def test_an_mnist_of_packed_files_is_used(folder, monkeypatch):
    """However they are packed; what they hold is known before they are unpacked."""
    monkeypatch.setattr(MNIST, "download", lambda self: pytest.fail("not from the network"))
    raw = folder / "data/MNIST/raw"
    for name, n in (("train", 10), ("t10k", 4)):
        idx(raw / f"{name}-images-idx3-ubyte", n, 28, 28, seed=n)
        idx(raw / f"{name}-labels-idx1-ubyte", n, seed=n)
    plain, held = load("mnist", folder / "data"), fingerprint("mnist", folder / "data")
    files = list(raw.iterdir())
    for path in files:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1, mtime=1))
        path.unlink()
    assert fingerprint("mnist", folder / "data") == held
    packed = load("mnist", folder / "data")
    assert torch.equal(packed.train, plain.train) and torch.equal(packed.test, plain.test)
    assert fingerprint("mnist", folder / "data") == held
    files[0].unlink()
    packed = files[0].with_name(f"{files[0].name}.gz")
    packed.write_bytes(packed.read_bytes()[:30])
    for read in (load, fingerprint):
        with pytest.raises(VdiffError, match="gz cannot be unpacked"):
            read("mnist", folder / "data")
