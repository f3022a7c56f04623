"""A tiny training on points, in this process or in one of its own."""

import json
import os
import subprocess

from support.commands import vdiff
from vdiff.config import Run, validate
from vdiff.data import load
from vdiff.files.snapshots import write_table
from vdiff.files.tidy import read_csv, write_csv
from vdiff.training.loop import train

TINY = {
    "experiment": "swissroll",
    "arm": "debias-True",
    "dataset": "swissroll",
    "debias": True,
    "seed": 3,
    "network": {"kind": "mlp", "hidden": [16]},
    "training": {
        "iterations": 60, "batch_size": 16, "lr": 0.001, "ema": 0.9,
        "log_every": 7, "snapshot_every": 20, "checkpoint_every": 5,
    },
}  # fmt: skip


def tiny(**training):
    return validate(Run, {**TINY, "training": {**TINY["training"], **training}})


def run(folder, state="state", **training):
    """Train in a folder; the bytes of train.csv and the checksums of the snapshots."""
    config = tiny(**training)
    rows, snapshots = train(config, load("swissroll"), folder / state)
    write_csv(folder / "train.csv", rows, "train")
    write_table(folder / "snapshots.csv", config.who, snapshots, {})
    return results(folder)


def results(folder):
    digests = read_csv(folder / "snapshots.csv", "snapshots")["sha256"].tolist()
    return (folder / "train.csv").read_bytes(), digests


def start(folder, iterations):
    """`vdiff train` in a process of its own."""
    config = {**TINY, "training": {**TINY["training"], "iterations": iterations}}
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(config))
    words = ["--threads", 1, "train", "--run", folder / "run.json", "--out", folder]
    return subprocess.Popen(vdiff(*words), env={**os.environ, "VDIFF_PROGRESS": "none"}, stderr=-1)
