"""An entry for the table of records, checked from its crate: docs/record.md has the protocol."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vdiff.config import Run
from vdiff.data import Data, load
from vdiff.errors import VdiffError
from vdiff.files.crate import WEIGHTS
from vdiff.files.objects import read_json
from vdiff.files.tidy import read_csv
from vdiff.files.weights import ENDING
from vdiff.likelihood.bound import PILOT
from vdiff.likelihood.model import Model
from vdiff.machine.seeds import generator
from vdiff.pretrained import about, names, read_pretrained
from vdiff.stats.intervals import std_err
from vdiff.stats.tails import Tail, tail_of

MOST = 4.0  # standard errors between what an entry says and what is found


class Found(NamedTuple):
    """Bits/dim. bits: (N, draws) of the test images; error: of the noise and images together;
    noise: of the noise alone."""

    bits: np.ndarray
    mean: float
    error: float
    noise: float
    tail: Tail


class Entry(NamedTuple):
    """What a crate says of one run, and where its weights are.

    seconds: of the training; processor time if `measured`, else wall time.
    """

    run: Run
    weights: Path
    bpd: float
    se_mc: float
    images: int
    seconds: float
    measured: bool

    @property
    def passes(self) -> int:
        """Of an image through the network in training."""
        t = self.run.training
        return t.iterations * t.batch_size * t.draws_per_image


class Checked(NamedTuple):
    """right: whether the entry's number is that of its weights; minus: it less the record in pairs,
    with its error, None where vdiff has no record for the data."""

    found: Found
    right: bool
    record: str | None
    minus: tuple[float, float] | None


def entries(crate: Path) -> list[Entry]:
    """The runs of an unpacked crate whose weights are in it. Raises VdiffError for what is none."""
    manifest = read_json(crate / "manifest.json")
    found = []
    for path in sorted((crate / WEIGHTS).glob(f"*{ENDING}")):
        run = about(path)["run"]
        name = f"runs/{run.experiment}/{run.arm}/seed-{run.seed}"
        table = read_csv(crate / name / "evaluation.csv", "evaluation")
        last = table[table["estimator"] == "efficient"]
        if last.empty:
            raise VdiffError(f"{name} in {crate} has no evaluation by the estimator efficient.")
        row = last.iloc[-1]
        made = manifest["results"].get(f"{name}/train.csv", {})
        found.append(
            Entry(
                run,
                path,
                float(row["bpd"]),
                float(row["se_mc"]),
                int(row["images"]),
                made.get("cpu_seconds", made.get("seconds", math.nan)),
                "cpu_seconds" in made,
            )
        )
    if not found:
        raise VdiffError(
            f"{crate} has no weights; make the crate by `vdiff export --weights RESULTS`."
        )
    return found


def measured(model: Model, data: Data, images: int, draws: int, seed: int) -> Found:
    """The model's bound on the first test images, by fresh noise."""
    x = data.test_examples(images)
    nats = model.fit(data.pick(PILOT, generator("pilot", seed)), seed=seed).draws(
        x, draws=draws, seed=seed
    )
    bits = -nats / (model.space.d * math.log(2))
    each = bits.mean(1)
    noise = math.sqrt(bits.var(1, ddof=1).mean() / draws / len(x))
    error = float(each.std(ddof=1) / len(x) ** 0.5)
    return Found(bits, float(each.mean()), error, noise, tail_of(each - each.mean()))


def check(entry: Entry, data_root: Path, draws: int, seed: int, data: str | None) -> Checked:
    """The entry's weights on fresh noise, against what it says and against vdiff's record.

    data: where its data set is now, as `npz:PATH`, unless it is where the run found it. Raises
    VdiffError when the data are others than it was trained with.
    """
    held = load(data or entry.run.dataset, data_root, entry.run.training.real)
    checksum = about(entry.weights)["data"]
    if held.checksum() != checksum:
        raise VdiffError(
            f"The data of {entry.run.label} are others than the entry's: their checksum is "
            f"{held.checksum()}, its is {checksum}; give its data by --data or --data-root."
        )
    model = read_pretrained(entry.weights)
    found = measured(model, held, entry.images, draws, seed)
    right = abs(found.mean - entry.bpd) <= MOST * math.hypot(found.noise, entry.se_mc)
    record = next((n for n, p in names().items() if about(p)["data"] == checksum), None)
    minus = None
    if record is not None:
        best = read_pretrained(names()[record])
        other = measured(best, held, entry.images, draws, seed)
        difference = found.bits.mean(1) - other.bits.mean(1)
        minus = (float(difference.mean()), float(std_err(difference)))
    return Checked(found, right, record, minus)
