"""Recipes of training side by side: bits/dim against images seen and against time.

    python benchmarks/recipes.py [--preset laptop] [--experiment mnist] [--data-root DIR]
        [--validation N] [--draws N] [--seeds 0,1,2]
        [--recipe "NAME: KEY=VALUE ..."]... [--out FILE.csv]

All recipes train the experiment's network on its data with the same number of draws (an image with
a time and noise: one pass through the network), and take turns from one mark to the next, so that
a slow machine slows all of them; evaluations are not timed. A recipe's keys are those of the
section training, network.KEY, debias, and draw, for what was tried and is no part of vdiff:

    draw=antithetic  with draws_per_image=2, both draws at one time, with the noise and its
                     negative: what of the gradient is odd in the noise has mean 0 and cancels,
                     a control variate without a cost of its own

A recipe is chosen on images that it neither trains on nor is judged on in the end: --validation N
holds N of the training images out, evenly spread, evaluates on them alone, and prints their
checksum. Without it, test images are evaluated, and nothing must be chosen by the table.

Shown are bits/dim by the efficient estimator at the end, after equal time (that of the
recipe which was done first) and after equal images (those of the recipe which sees fewest), and
the images and seconds to where the first recipe ends. All are means over seeds with standard
errors: over seeds, or for one seed over test images and noise.
"""

import argparse
import csv
import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

from vdiff.config import load_config, run_of
from vdiff.data import load
from vdiff.data.images import Images, evenly
from vdiff.errors import VdiffError
from vdiff.machine.parallel import Workers
from vdiff.machine.precision import products
from vdiff.stats.gains import reached
from vdiff.steps.evaluate import evaluate, reference_of
from vdiff.trained import Trained
from vdiff.training.trainer import Trainer

BEST = (
    "optimiser=muon muon_lr=0.02 lr=0.008 warmup=50 decay=0.5 ema=0.99 ema_warmup=true "
    "draws=low_discrepancy batch_size=4 draws_per_image=4 network.parameterisation=levels"
)
ABLATION = [
    "paper: lr=1e-4 ema=0",
    "Adam, best step size: lr=0.016 ema=0.99 ema_warmup=true",
    f"improved: {BEST}",
    f"Adam for Muon: {BEST} optimiser=adam lr=0.004",
    f"no levels: {BEST} network.parameterisation=drift",
    "Fourier features for levels: "
    f"{BEST} network.parameterisation=drift network.fourier=[3.14,6.28,12.57]",
    f"one draw per image: {BEST} batch_size=16 draws_per_image=1",
    f"batches of 32: {BEST} batch_size=8 draws_per_image=4",
    f"independent times: {BEST} draws=independent",
    f"no decay: {BEST} decay=0",
    f"fitted times: {BEST} law=fitted",
    f"antithetic noise: {BEST} batch_size=8 draws_per_image=2 draw=antithetic",
    f"uniform times: {BEST} debias=false",
]
COLUMNS = ("recipe", "seed", "images", "seconds", "bpd", "std_err")


def held_out(data: Images, n: int) -> Images:
    """The training images alone, n of which, evenly spread, are the test images: to choose on.

    Raises VdiffError unless 0 < n < N.
    """
    size = len(data.train)
    if not 0 < n < size:
        raise VdiffError(f"{n} of {size} images are held out; it must be from 1 to {size - 1}.")
    held = evenly(n, size)
    kept = torch.ones(size, dtype=torch.bool).index_fill_(0, held, False)
    labels = data.train_labels
    of = (None, None) if labels is None else (labels[kept], labels[held])
    return replace(data, train=data.train[kept], test=data.train[held], train_labels=of[0],
                   test_labels=of[1], spread=True)  # fmt: skip


class Antithetic(Trainer):
    """Both draws of an image at one time, with the noise and its negative."""

    def batch(self):
        x, log_det, s, eps = super().batch()
        sign = torch.tensor([1.0, -1.0]).repeat(len(x) // 2).reshape(-1, *[1] * (x.ndim - 1))
        return x, log_det, s[::2].repeat_interleave(2), sign * eps[::2].repeat_interleave(2, dim=0)


TRAINERS = {"plain": Trainer, "antithetic": Antithetic}


class Course:
    """One recipe of one seed on its way."""

    def __init__(self, name, keys, seed, options, data):
        self.name, self.seed = name, seed
        of = TRAINERS[keys.pop("draw", "plain")]
        arm = {"debias": keys.pop("debias", True), "network": {}, "training": {}}
        for key, value in keys.items():
            section, _, last = key.rpartition(".")
            arm[section or "training"][last] = value
        config = load_config({"preset": options.preset, "only": [options.experiment]})
        e = config.experiments[options.experiment]
        t = e.training.model_copy(update=arm["training"])
        self.per_step = t.batch_size
        arm["training"]["iterations"] = max(1, options.draws // (t.batch_size * t.draws_per_image))
        arms = {**dict.fromkeys(e.arms), "it": arm}
        over = {"dataset": options.dataset or e.dataset, "arms": arms, "pairs": []}
        whole = {"preset": options.preset, "experiments": {options.experiment: over}}
        run = run_of(load_config(whole), options.experiment, "it", seed)
        self.settings = e.evaluation.model_copy(
            update={"images": options.test, "passes": 2, "pilot": options.pilot}
        )
        self.model = Trained(run, data)
        self.trainer = of(run, data, Workers(), Path())
        self.trainer.agree_on_precision()
        self.seconds = 0.0

    def go(self, part: float, reference) -> dict:
        """Train up to a part of the way; the row of the table."""
        state, t = self.trainer.state, self.trainer.run.training
        start = time.perf_counter()
        with products(t.precision):
            while state.iteration < max(1, round(part * t.iterations)):
                self.trainer.step()
        self.trainer.check()
        self.seconds += time.perf_counter() - start
        a = self.model.drift_with(state.weights())
        found = evaluate(self.model, a, self.settings, "efficient", reference).row()
        row = (self.name, self.seed, state.iteration * self.per_step, self.seconds)
        return dict(zip(COLUMNS, (*row, found["bpd"], found["bpd_std_err"]), strict=True))


def at(rows: list[dict], key: str, value: float) -> float:
    """bits/dim of one course where its key has a value, linear in the key's logarithm."""
    return float(np.interp(np.log(value), np.log([r[key] for r in rows]), [r["bpd"] for r in rows]))


def to(rows: list[dict], key: str, bpd: float) -> float:
    """The key where a course first comes down to bpd; NaN if it never does."""
    return reached(np.array([r[key] for r in rows]), np.array([r["bpd"] for r in rows]), bpd)


def shown(values, error: float, digits: int = 3) -> str:
    """Mean and standard error; that over seeds where there are several."""
    values = np.array(values)
    if np.isnan(values).any():
        return "not reached"
    if len(values) > 1:
        error = values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():,.{digits}f}" + (f" ± {error:.{digits}f}" if error else "")


def table(rows: list[dict]) -> str:
    """A line per recipe, all seeds together."""
    courses: dict = {}
    for row in rows:
        courses.setdefault(row["recipe"], {}).setdefault(row["seed"], []).append(row)
    shortest = min(c[-1]["seconds"] for seeds in courses.values() for c in seeds.values())
    fewest = min(c[-1]["images"] for seeds in courses.values() for c in seeds.values())
    ends = {seed: c[-1]["bpd"] for seed, c in next(iter(courses.values())).items()}
    end = f"the first's {np.mean(list(ends.values())):.3f}"
    lines = [
        f"| recipe | images | bits/dim at the end | s | bits/dim after {shortest:.0f} s "
        f"| bits/dim after {fewest:,} images | images to {end} | s to {end} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, seeds in courses.items():
        c = list(seeds.values())
        error = c[0][-1]["std_err"]
        cells = (
            f"{c[0][-1]['images']:,}",
            shown([x[-1]["bpd"] for x in c], error),
            shown([x[-1]["seconds"] for x in c], 0, 0),
            shown([at(x, "seconds", shortest) for x in c], error),
            shown([at(x, "images", fewest) for x in c], error),
            shown([to(x, "images", ends[seed]) for seed, x in seeds.items()], 0, 0),
            shown([to(x, "seconds", ends[seed]) for seed, x in seeds.items()], 0, 0),
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--experiment", default="mnist")
    parser.add_argument("--dataset", help="Other data of the same shape, such as npz:FILE.")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--draws", type=int, default=9600, help="Of each recipe.")
    parser.add_argument("--parts", default="0.03,0.06,0.125,0.25,0.5,0.75,1", help="The marks.")
    parser.add_argument("--test", type=int, default=512, help="Test images.")
    parser.add_argument("--validation", type=int, help="Training images in their place.")
    parser.add_argument("--pilot", type=int, default=1024)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--recipe", action="append", help="By default those of the ablation.")
    parser.add_argument("--out", type=Path, help="Append every row to a CSV.")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = load_config({"preset": options.preset}).experiments[options.experiment]
    data = load(options.dataset or config.dataset, options.data_root)
    if options.validation:
        data, options.test = held_out(data, options.validation), options.validation
        digest = hashlib.sha256(data.test.contiguous().numpy().tobytes()).hexdigest()
        print(f"{len(data.test)} validation images with the SHA-256 {digest}.")
    courses = []
    for text in options.recipe or ABLATION:
        name, _, words = text.partition(":")
        for seed in options.seeds.split(","):
            keys = {k: yaml.safe_load(v) for k, v in (w.split("=", 1) for w in words.split())}
            courses.append(Course(name, keys, int(seed), options, data))
    reference = reference_of(courses[0].model.sde, data)  # the same for every recipe
    rows = []
    for part in (float(p) for p in options.parts.split(",")):
        for course in courses:
            rows.append(course.go(part, reference))
            if options.out:
                write(options.out, rows[-1])
    print(table(rows))


def write(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
