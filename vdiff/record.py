"""An entry for the table of records, checked from its crate: docs/record.md has the protocol."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from vdiff.config import Run, read_run
from vdiff.data import Data, load
from vdiff.errors import VdiffError, first_line
from vdiff.files.crate import WEIGHTS, check_listed
from vdiff.files.objects import read_json
from vdiff.files.tidy import read_csv, read_npz
from vdiff.files.weights import ENDING
from vdiff.likelihood.bound import PILOT
from vdiff.likelihood.model import Model
from vdiff.machine.seeds import generator
from vdiff.pretrained import about, described, names, read_pretrained
from vdiff.stats.intervals import std_err
from vdiff.stats.tails import Tail, tail_of
from vdiff.stats.uncertainty import Mean, summarise
from vdiff.steps.evaluate import keys_of

MOST = 4.0  # standard errors between what an entry says and what is found


class Fresh(NamedTuple):
    """Bits/dim. bits: (N, draws) of the test images; error: of the noise and images together;
    noise: of the noise alone."""

    bits: np.ndarray
    mean: float
    error: float
    noise: float
    tail: Tail


class Entry(NamedTuple):
    """What a crate says of one run, and where its weights are.

    bits: (passes, N) of each test image; keys: (N,) theirs; error: of the mean, images and noise
    together; examples: seen in training, repetitions counted; precision: of the training; seconds:
    of the training, NaN if not told, of processor time if `measured`, else of wall time.
    """

    run: Run
    weights: Path
    bits: np.ndarray
    keys: np.ndarray
    error: float
    examples: float
    precision: str
    seconds: float
    measured: bool


class Checked(NamedTuple):
    """passes: of an image through the network in training; test_size: images that the test set has;
    right: whether the entry's number and its error are those of its weights; minus: it less the
    record in pairs, with its error, None where vdiff has no record for the data."""

    fresh: Fresh
    passes: int
    test_size: int
    right: bool
    record: str | None
    minus: tuple[float, float] | None


def entries(crate: Path) -> list[Entry]:
    """The runs of an unpacked crate whose weights are in it. Raises VdiffError for what is none,
    and where its files contradict each other."""
    manifest = read_json(crate / "manifest.json")
    check_listed(crate, manifest)
    weights = sorted((crate / WEIGHTS).glob(f"*{ENDING}"))
    if not weights:
        raise VdiffError(
            f"{crate} has no weights; make the crate by `vdiff export --weights RESULTS`."
        )
    return [_entry(crate, manifest["results"], path) for path in weights]


def _entry(crate: Path, results: dict[str, dict], weights: Path) -> Entry:
    said = about(weights)
    run = said["run"]
    name = f"runs/{run.experiment}/{run.arm}/seed-{run.seed}"
    folder = crate / name
    if read_run(folder / "run.json") != run:
        raise VdiffError(f"{folder / 'run.json'} is another run than the header of {weights} has.")
    steps = read_csv(folder / "train.csv", "train")["iteration"].max()
    table = read_csv(folder / "evaluation.csv", "evaluation")
    table = table[table["estimator"] == "efficient"]
    if table.empty:
        raise VdiffError(f"{name} in {crate} has no evaluation by the estimator efficient.")
    row = table.iloc[-1]
    if {said["iteration"], steps, row["iteration"]} != {run.training.iterations}:
        raise VdiffError(
            f"The files of {run.label} differ in its iterations: {run.training.iterations} in "
            f"run.json, {steps:g} in train.csv, {row['iteration']:g} in evaluation.csv and "
            f"{said['iteration']} in its weights."
        )
    z, keys, mean = _draws(folder / "per_image.npz", f"efficient_{run.training.iterations:08d}")
    measured = {
        "bpd": mean.mean, "bpd_std_err": mean.std_err, "se_mc": mean.se_mc,
        "passes": len(z), "images": len(keys),
    }  # fmt: skip
    for column, value in measured.items():
        if not math.isclose(row[column], value, rel_tol=1e-5, abs_tol=1e-5):
            raise VdiffError(
                f"{folder / 'evaluation.csv'} says that {column} is {row[column]:g}; by "
                f"per_image.npz it is {value:g}."
            )
    made = results.get(f"{name}/train.csv", {})
    seconds = made.get("cpu_seconds", made.get("seconds"))
    return Entry(
        run,
        weights,
        z,
        keys,
        mean.std_err,
        row["examples"],
        said.get("precision") or run.training.precision,
        seconds if isinstance(seconds, int | float) else math.nan,
        "cpu_seconds" in made,
    )


def _draws(path: Path, name: str) -> tuple[np.ndarray, np.ndarray, Mean]:
    """An evaluation's bits/dim (passes, N), its images' keys (N,), its mean and errors."""
    arrays = read_npz(path, name, "u", "images")
    z, keys = arrays[name], arrays["images"]
    try:
        if len(z) < 2 or keys.shape != z.shape[1:] or not np.isfinite(z).all():
            raise ValueError("it needs two finite numbers or more of each image")
        return z, keys, summarise(z, arrays["u"][: len(z)])
    except (TypeError, ValueError, IndexError) as error:
        raise VdiffError(f"{path} is no evaluation: {first_line(error)}.") from None


def measured(model: Model, data: Data, x: Tensor, draws: int, seed: int) -> Fresh:
    """The model's bound on examples, by fresh noise."""
    nats = model.fit(data.pick(PILOT, generator("pilot", seed)), seed=seed).draws(
        x, draws=draws, seed=seed
    )
    bits = -nats / (model.space.d * math.log(2))
    each = bits.mean(1)
    noise = math.sqrt(bits.var(1, ddof=1).mean() / draws / len(x))
    error = float(each.std(ddof=1) / len(x) ** 0.5)
    return Fresh(bits, float(each.mean()), error, noise, tail_of(each - each.mean()))


def check(
    entry: Entry, data_root: Path, draws: int, seed: int, data: str | None, images: int | None
) -> Checked:
    """The entry's weights on fresh noise, against what it says and against vdiff's record.

    data: where its data set is now, as `npz:PATH`, unless it is where the run found it; images:
    how many of the entry's to take, all for None. Raises VdiffError when the data are others than
    it was trained with, and when it saw or tested others than it says.
    """
    run, said = entry.run, about(entry.weights)
    held = load(data or run.dataset, data_root, run.training.real)
    for key, here in described(held, run).items():
        if here != said[key]:
            raise VdiffError(
                f"The data of {run.label} are others than the entry's ({key}: {here!s:.70} here, "
                f"{said[key]!s:.70} in its weights); give its data by --data or --data-root."
            )
    x = held.test_examples(len(entry.keys))
    # Points are drawn afresh, on another processor with other last digits.
    if len(x) != len(entry.keys) or (said["data"] and (keys_of(x) != entry.keys).any()):
        raise VdiffError(f"The images that {run.label} was tested on are not those of its data.")
    seen = run.training.iterations * held.batch(run.training.batch_size)
    if entry.examples != seen:
        raise VdiffError(
            f"{run.label} has {entry.examples:g} training examples in evaluation.csv, but {seen} "
            "by the iterations and batch_size of its run.json."
        )
    x, z = x[:images], entry.bits[:, :images]
    fresh = measured(read_pretrained(entry.weights), held, x, draws, seed)
    right = _confirmed(fresh, z)
    record = next((n for n, p in names().items() if about(p)["data"] == said["data"]), None)
    minus = None
    if record is not None:
        other = measured(read_pretrained(names()[record]), held, x, draws, seed)
        difference = fresh.bits.mean(1) - other.bits.mean(1)
        minus = (float(difference.mean()), float(std_err(difference)))
    passes = seen * run.training.draws_per_image
    return Checked(fresh, passes, held.test_size, right, record, minus)


def _confirmed(fresh: Fresh, z: np.ndarray) -> bool:
    """Whether the bits/dim z (passes, N) of an entry can be draws of what was found on the same
    images, judged by the found noise alone: their mean to MOST errors, and the images' spread
    within a factor of two, or more for few images."""
    ratio = fresh.bits.shape[1] / len(z)
    noise = fresh.noise * math.sqrt(1 + ratio)
    spread = math.sqrt(max(fresh.error**2 - fresh.noise**2, 0) + fresh.noise**2 * ratio)
    factor = 2 * math.exp(MOST / math.sqrt(z.shape[1]))
    return (
        abs(fresh.mean - z.mean()) <= MOST * noise
        and spread / factor <= std_err(z.mean(0)) <= spread * factor
    )
