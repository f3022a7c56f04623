"""Files that users hand over: any bytes end in one sentence, never in a traceback or a hang."""

import io
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torchvision import datasets

from vdiff.config import Run, read_run, read_yaml
from vdiff.data import load
from vdiff.errors import VdiffError
from vdiff.files.objects import read_json
from vdiff.files.schemas import SCHEMAS
from vdiff.files.snapshots import read_table
from vdiff.files.tidy import read_csv, read_npz
from vdiff.files.weights import load_weights

COUNTS = [200, pytest.param(2000, marks=pytest.mark.long)]
RUN = Run(experiment="e", arm="a", dataset="digits", debias=True, seed=0)


def npz_bytes(save=np.savez):
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    buffer = io.BytesIO()
    save(buffer, train_x=x, test_x=x[:2], levels=np.array(256))
    return buffer.getvalue()


def npy_bytes():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 8, 8), np.uint8))
    return buffer.getvalue()


def csv_bytes(schema):
    return pd.DataFrame([dict.fromkeys(SCHEMAS[schema], 1)] * 3).to_csv(index=False).encode()


def idx_bytes(*shape):
    """The format of MNIST's files."""
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    return header + np.random.default_rng(0).integers(0, 10, shape, dtype=np.uint8).tobytes()


def read_mnist(path):
    """MNIST with that file for its training images, offline."""
    raw = path.parent / "MNIST/raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(4, 28, 28))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(4))
    (raw / "train-images-idx3-ubyte").write_bytes(path.read_bytes())
    return load("mnist", path.parent)


def read_cifar10(path):
    """CIFAR-10 with that file for its first batch, offline; its checksum guards the pickle."""
    folder = path.parent / "cifar-10-batches-py"
    folder.mkdir(exist_ok=True)
    (folder / "data_batch_1").write_bytes(path.read_bytes())
    return load("cifar10", path.parent)


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


WEIGHTS = {"a.weight": torch.ones(3, 3), "a.bias": torch.zeros(3)}
KINDS = {
    "MNIST": (idx_bytes(4, 28, 28), read_mnist),
    "CIFAR-10": (pickle.dumps({"data": np.zeros((2, 3072), np.uint8)}), read_cifar10),
    "npz": (npz_bytes(), lambda path: load(f"npz:{path}")),
    "compressed npz": (npz_bytes(np.savez_compressed), lambda path: load(f"npz:{path}")),
    "npy": (npy_bytes(), lambda path: load(f"npz:{path}")),
    "arrays of results": (npz_bytes(np.savez_compressed), read_npz),
    "CSV": (csv_bytes("curves"), lambda path: read_csv(path, "curves")),
    "snapshots.csv": (csv_bytes("snapshots"), read_table),
    "JSON": (json.dumps({"a": [1, 2, {"b": None}]}).encode(), read_json),
    "YAML": (b"preset: smoke\nexperiments:\n  digits: {seeds: [0, 1], training: {lr: 1e-3}}\n",
             read_yaml),
    "run file": (RUN.model_dump_json().encode(), read_run),
    "safetensors": (safetensors.torch.save(WEIGHTS), load_weights),
    "state_dict": (saved(WEIGHTS), load_weights),
}  # fmt: skip


def mutated(content, rng):
    """Some bytes flipped, or cut, or doubled, or replaced by noise."""
    x = np.frombuffer(content, np.uint8).copy()
    how = rng.integers(5)
    if how <= 1:
        x[rng.integers(len(x), size=rng.integers(1, 9))] = rng.integers(256)
    elif how == 2:
        x = x[: rng.integers(len(x))]
    elif how == 3:
        a, b = sorted(rng.integers(len(x), size=2))
        x = np.concatenate([x[:b], x[a:]])
    else:
        a = rng.integers(len(x))
        x[a : a + 16] = rng.integers(256, size=len(x[a : a + 16]))
    return x.tobytes()


@pytest.mark.parametrize("mutations", COUNTS)
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_read_or_refused_in_one_sentence(tmp_path, kind, mutations, monkeypatch):
    def offline(*args, **kwargs):
        raise RuntimeError("no network")

    for name in ("MNIST", "CIFAR10"):
        monkeypatch.setattr(getattr(datasets, name), "download", offline)
    content, read = KINDS[kind]
    rng = np.random.default_rng(0)
    path, refused = tmp_path / "file", 0
    for _ in range(mutations):
        path.write_bytes(mutated(content, rng))
        try:
            read(path)
        except VdiffError as fault:
            refused += 1
            assert str(fault).endswith(".")
            assert "\n" not in str(fault)
    assert refused > mutations / 20  # the mutations do reach the parser


def test_a_state_dict_with_other_keys_is_refused(tmp_path):
    torch.save({0: torch.ones(1)}, tmp_path / "weights.pt")
    with pytest.raises(VdiffError, match="is not a state_dict file"):
        load_weights(tmp_path / "weights.pt")


@pytest.mark.parametrize("schema", ["snapshots", "curves"])
def test_a_table_of_its_header_alone_is_refused(tmp_path, schema):
    (tmp_path / "x.csv").write_text(",".join(SCHEMAS[schema]) + "\n")
    with pytest.raises(VdiffError, match="has no rows"):
        read_csv(tmp_path / "x.csv", schema)
