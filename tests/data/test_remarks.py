"""Case 20 of other people's data: what is warned of before training, and what is not."""

import subprocess

import numpy as np
import pytest
import torch
from support.commands import vdiff
from support.models import DIGITS

from vdiff.config import Run, validate
from vdiff.data import load
from vdiff.data.remarks import remarks
from vdiff.files.objects import write_json

RNG = torch.Generator().manual_seed(0)
TRAIN, TEST = (
    torch.randint(256, (n, 3, 4, 4), generator=RNG, dtype=torch.uint8) for n in (200, 40)
)


def test_images_that_are_what_they_seem_are_not_remarked_on():
    assert remarks(TRAIN, TEST) == []
    assert remarks(TRAIN[:, :1], TEST[:, :1]) == []


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
    assert any(words in said for said in remarks(train, test))


def test_the_sets_that_come_along_are_what_they_seem(tmp_path):
    for name in ("digits", "photos"):
        data = load(name, tmp_path)
        assert remarks(data.train, data.test) == []


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
