import os

import numpy as np
import pandas as pd
import pytest

from vdiff.errors import VdiffError
from vdiff.files import tidy
from vdiff.files.objects import write_json
from vdiff.files.schemas import SCHEMAS

ROW = dict.fromkeys(SCHEMAS["train"], 1)


def test_a_csv_comes_back_and_keeps_its_bytes(tmp_path):
    path = tmp_path / "deep" / "train.csv"
    tidy.write_csv(path, [{**ROW, "loss": 0.1 + 0.2}], "train")
    first = path.read_bytes()
    frame = tidy.read_csv(path, "train")
    assert frame["loss"][0] == 0.1 + 0.2
    tidy.write_csv(path, frame, "train")
    assert path.read_bytes() == first


def test_nothing_is_half_written(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VdiffError, match=r"x\.json cannot be written: No space left"):
        write_json(path, {"a": 2})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VdiffError, match="cannot be written"):
        write_json(tmp_path / "file" / "x.json", {})


def test_other_files_are_refused(tmp_path):
    pd.DataFrame([{"a": 1}]).to_csv(tmp_path / "a.csv")
    with pytest.raises(VdiffError, match="lacks the column experiment"):
        tidy.read_csv(tmp_path / "a.csv", "train")
    with pytest.raises(VdiffError, match="cannot be read"):
        tidy.read_csv(tmp_path / "none.csv", "train")
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    with pytest.raises(VdiffError, match="cannot be read"):
        tidy.read_npz(tmp_path / "a.npz")


def test_arrays_come_back(tmp_path):
    tidy.write_npz(tmp_path / "a.npz", x=np.arange(3))
    assert tidy.read_npz(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]
