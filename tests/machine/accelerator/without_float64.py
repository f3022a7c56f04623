"""The commands on a pretend accelerator without float64, and on the CPU.

PRETEND_WITHOUT_FLOAT64=1 python without_float64.py FOLDER
"""

import sys
from pathlib import Path

import pretend  # noqa: F401 (installs the device)
import torch

from vdiff.cli import main
from vdiff.config import load_config, run_of
from vdiff.files.objects import write_json

NET = {"channels": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4, "time_scale": 1000}
IMPROVED = {"optimiser": "muon", "law": "fitted", "draws": "low_discrepancy", "ema": 0.9}
KEPT = {"iterations": 10, "batch_size": 8, "log_every": 5, "snapshot_every": 10}

folder = Path(sys.argv[1])
try:
    torch.zeros(1, dtype=torch.float64, device="pretend")
except TypeError:
    pass
else:
    sys.exit("It has float64.")


def both(name, *words):
    for device in ("pretend", "cpu"):
        said = [str(w).replace("OUT", f"{folder}/{name}-{device}") for w in words]
        main([*said, "--device", device], standalone_mode=False)


for name, dataset, more in (
    ("swissroll", "swissroll", {}),
    ("digits", "digits", {}),
    ("improved", "digits", {**IMPROVED, "parameterisation": "levels"}),
):
    network = {"kind": "mlp"} if dataset == "swissroll" else dict(NET)
    if "parameterisation" in more:
        network["parameterisation"] = more.pop("parameterisation")
    experiment = {
        "dataset": dataset, "arms": {"debias-True": {}}, "network": network,
        "training": {**KEPT, **more},
    }  # fmt: skip
    config = load_config({"preset": "smoke", "only": ["e"], "experiments": {"e": experiment}})
    write_json(folder / f"{name}.json", run_of(config, "e", "debias-True", 0).model_dump())
    both(f"train-{name}", "train", "--run", folder / f"{name}.json", "--out", "OUT")
    base = ["--run", folder / f"{name}.json"]
    base += ["--snapshots", folder / f"train-{name}-cpu" / "snapshots.csv"]
    both(f"evaluate-{name}", "evaluate", *base, "--out", "OUT.csv", "--last", "--images", 16,
         "--estimators", "published,efficient", "--pilot", 64)  # fmt: skip
    if dataset == "swissroll":
        both("likelihood", "likelihood", *base, "--out", "OUT.csv", "--images", 4, "--passes", 2,
             "--pilot", 64)  # fmt: skip
        both("variance", "variance", *base, "--out", "OUT.csv", "--draws", 100, "--batches", 5,
             "--batch-size", 4, "--pilot", 64, "--gradient", "OUT-gradient.csv")  # fmt: skip
        both("forms", "forms", *base, "--out", "OUT.csv", "--draws", 100)
        both("trajectory", "trajectory", *base, "--out", "OUT.npz", "--lmbd", 0, "--steps", 5,
             "--samples", 100, "--columns", 5, "--strip-columns", 5)  # fmt: skip
        both("theory", "theory", *base, "--out", "OUT.csv", "--paths", 100, "--path-steps", 5,
             "--flow-points", 10, "--layer-points", 100, "--layers", 8, "--doublings", 2,
             "--samples", 100, "--sample-steps", 5)  # fmt: skip
    else:
        both(f"sample-{name}", "sample", *base, "--out", "OUT.npz", "--steps", 5, "--count", 8)
        both(f"quality-{name}", "quality", *base, "--out", "OUT.csv", "--count", 32, "--real", 32,
             "--steps", 5, "--feature-steps", 2, "--features", "OUT.npz")  # fmt: skip
        both(f"discrete-{name}", "discrete", *base, "--out", "OUT.csv", "--images", 4, "--draws",
             "1,2", "--layers", 5)  # fmt: skip
