"""Every command on the pretend accelerator and on the CPU; prints as JSON the waits of each, and
how many tensors each sent to it. Steps that are replayed are so by a tape.

    python drive.py FOLDER

Files in FOLDER are NAME-pretend.* and NAME-cpu.*.
"""

import json
import sys
from pathlib import Path

import pretend
from support import models, tape

from benchmarks import gpu
from vdiff.cli import main
from vdiff.config import load_config, run_of
from vdiff.diffusion import fitted
from vdiff.files.objects import write_json
from vdiff.machine import captured
from vdiff.steps import gradient

UNET = {"channels": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4, "time_scale": 1000}
IMPROVED = {
    "optimiser": "muon", "warmup": 2, "decay": 0.5, "draws": "low_discrepancy", "law": "fitted",
    "draws_per_image": 2, "ema": 0.9, "ema_warmup": True,
}  # fmt: skip
NEVER = 100_000

folder, waits, sent = Path(sys.argv[1]), {}, {}
captured.DEVICES, captured.capture = ("pretend",), tape.capture
fitted.SLICES = gradient.SLICES = 8  # of time, in place of 32: each is alike, and takes as long


def run_file(name, dataset, network=(), **training):
    """A run that logs and saves at its end alone."""
    kept = {"log_every": NEVER, "snapshot_every": NEVER, "checkpoint_every": NEVER}
    experiment = {
        "dataset": dataset,
        "arms": {"debias-True": {}},
        "network": {"kind": "mlp"} if dataset == "swissroll" else {**UNET, **dict(network)},
        "training": {"batch_size": 8, **kept, **training},
    }
    config = load_config({"preset": "smoke", "only": ["e"], "experiments": {"e": experiment}})
    write_json(folder / f"{name}.json", run_of(config, "e", "debias-True", 0).model_dump())


def both(name, *words):
    """The command on both devices; OUT in a word becomes NAME-DEVICE."""
    for device in ("pretend", "cpu"):
        said = [str(w).replace("OUT", f"{folder}/{name}-{device}") for w in words]
        before, were = pretend.waits(), pretend.sent()
        main([*said, "--device", device], standalone_mode=False)
        if device == "pretend":
            waits[name], sent[name] = pretend.waits() - before, pretend.sent() - were


for name, dataset, more in (
    ("digits", "digits", {}),
    ("swissroll", "swissroll", {}),
    ("improved", "digits", {**IMPROVED, "network": {"parameterisation": "levels"}}),
    ("captured", "digits", {**IMPROVED, "compile": "graph"}),
):
    for n in (10, 30):
        run_file(f"{name}-{n}", dataset, **more, iterations=n)
        both(f"train-{name}-{n}", "train", "--run", folder / f"{name}-{n}.json", "--out", "OUT")
run_file("watched", "digits", iterations=4)
watch = ["--print-every", 2, "--sample-every", 2, "--num-steps", 2, "--test-batch-size", 400]
both("monitor", "train", "--run", folder / "watched.json", "--out", "OUT", *watch)

for name in ("digits", "swissroll", "improved"):
    points = name == "swissroll"
    base = ["--run", folder / f"{name}-10.json"]
    base += ["--snapshots", folder / f"train-{name}-10-cpu" / "snapshots.csv"]
    table, arrays = ["--out", "OUT.csv"], ["--out", "OUT.npz"]
    for estimator in ("published", "efficient"):
        for n in (16, 32):
            words = [*base, *table, "--last", "--estimators", estimator, "--images", n]
            words += ["--batch-size", 8, "--pilot", 64]
            both(f"evaluate-{estimator}-{name}-{n}", "evaluate", *words)
    words = [*base, *table, "--images", 2, "--batch-size", 2, "--pilot", 64, "--passes", 2]
    words += ["--tolerance", 0.01]
    both(f"likelihood-{name}", "likelihood", *words)
    words = [*base, *table, "--draws", 100, "--batches", 10, "--batch-size", 4, "--pilot", 64]
    words += ["--checkpoints", 1]
    both(f"variance-{name}", "variance", *words, "--gradient", "OUT-gradient.csv")
    both(f"forms-{name}", "forms", *base, *table, "--draws", 100)
    if points:
        both("theory", "theory", *base, *table, "--paths", 100, "--path-steps", 5,
             "--flow-points", 10, "--layer-points", 100, "--layers", 8, "--doublings", 2,
             "--samples", 100, "--sample-steps", 5)  # fmt: skip
    for n in (5, 10):
        if not points:
            both(f"discrete-{name}-{n}", "discrete", *base, *table, "--images", 4, "--draws", "1,2",
                 "--layers", n)  # fmt: skip
        if points:
            columns = ["--columns", n, "--strip-columns", n]
            both(f"trajectory-{n}", "trajectory", *base, *arrays, "--lmbd", 0, "--steps", n,
                 "--samples", 100, *columns)  # fmt: skip
            both(f"distances-{n}", "distances", *base, *table, "--source", "learned", "--steps", n,
                 "--samples", 100, "--lmbds", "0,1", "--permutations", 19,
                 "--resamples", 49)  # fmt: skip
            continue
        for sampler in ("euler_maruyama", "exponential", "multistep", "stochastic_heun", "heun"):
            lmbd = 1 if sampler == "heun" else 0
            both(f"sample-{sampler}-{name}-{n}", "sample", *base, *arrays, "--sampler", sampler,
                 "--steps", n, "--count", 8, "--lmbd", lmbd)  # fmt: skip
        both(f"quality-{name}-{n}", "quality", *base, *table, "--count", 32, "--real", 32,
             "--steps", n, "--feature-steps", 2, "--features", "OUT.npz")  # fmt: skip

gpu.NETS = models.halved(gpu.NETS)
sys.argv = ["gpu.py", "--small", "--device", "pretend", "--out", str(folder / "gpu")]
gpu.main()
print(json.dumps([waits, sent]))
