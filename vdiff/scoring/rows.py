"""Scores of many examples by one model or several, kept as they come: a killed run goes on."""

import copy
import hashlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vdiff.errors import VdiffError, first_line
from vdiff.files.schemas import SCHEMAS
from vdiff.files.tidy import read_npz, write_csv, write_npz
from vdiff.likelihood.bound import OWN, PILOT
from vdiff.likelihood.model import Model
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.scoring.data import Part, conditions_of, parts_of
from vdiff.scoring.model import fingerprint, model_of, same
from vdiff.scoring.out import alone, check_out, part_of
from vdiff.stats.intervals import std_err

log = logging.getLogger(__name__)
CHUNK = 64  # examples that are scored at once
EVERY = 0.5  # seconds between two looks at the networks, after which scores are kept
LOOKS = 0.05  # of the time at most, for looks
MOST = 256  # rows that the network sees at once, unless that is too many for the memory
COLUMNS = ("log_prob", "std_err", "bpd", "bpd_std_err")
METHODS = ("elbo", "ode")
T = TypeVar("T")


def score(
    model: Any,
    data: Any,
    *,
    condition: Any = None,
    labels: bool = False,
    train: Any = None,
    method: str = "elbo",
    draws: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "cpu",
    data_root: Path = Path("data"),
    out: Path | None = None,
) -> pd.DataFrame:
    """A row of the schema `scores` for each model and example, in the order of the input.

    model: a Model, FILE.py:FUNCTION, a diffusers pipeline's folder, or a mapping of names to
    several of these. data: an NPZ file (x, and labels y if it has them), an .npy file, a folder of
    PNG or JPEG images, the name of a data set, whose test images these are, a list of such places;
    or an array x (N, ...), or batches of x or of (x, y), such as a DataLoader.

    condition: what the network is told, a class for all, or an array or a file with a row for each
    example; labels: it is told the labels of the data. train: examples, as data has them, at most
    1,024 of which the control variates are fitted on; else they are fitted as `Model.fit` does by
    itself, under one class for all on samples of that class, and under conditions that differ not
    at all, so that errors are NaN there. method, draws: as `Model.log_prob` has them. batch_size:
    rows that the network sees at once, by default as many as fit the memory, at most 256; scores do
    not depend on it but for the network's rounding. device: of models that are not made yet.

    out: a CSV to write them to at the end. Until then they are kept beside it, and the same call
    goes on where one was killed, to the same bytes, as long as the networks say the same. The
    models that are given are left as they are. Raises VdiffError for input that does not fit,
    before anything is scored, and for a network that changes meanwhile.
    """
    return scored(
        model if isinstance(model, Mapping) else {_called(model): model}, data,
        condition=condition, labels=labels, train=train, method=method, draws=draws, seed=seed,
        batch_size=batch_size, make=lambda spec: model_of(spec, device), data_root=data_root,
        out=out,
    )[0]  # fmt: skip


def _called(model: Any) -> str:
    return str(model) if isinstance(model, str | Path) else "model"


class Scorer(NamedTuple):
    """A model under its name, what its network says, and the parts' examples as it has them."""

    name: str
    model: Model
    network: np.ndarray
    xs: list[Tensor]


def scored(
    models: Mapping[str, Any],
    data: Any,
    *,
    condition: Any,
    labels: bool,
    train: Any,
    method: str,
    draws: int | None,
    seed: int,
    batch_size: int | None,
    make: Callable[[str], Model],
    data_root: Path,
    out: Path | None,
    others: Sequence[Path] = (),
) -> tuple[pd.DataFrame, list[int]]:
    """What `score` returns, and how many examples each part of the data has. make: a model from
    its specification; others: files that `out` must not be."""
    if method not in METHODS:
        raise VdiffError(f"The method is {method!r}; it must be {' or '.join(METHODS)}.")
    least = 2 if method == "elbo" else 1
    if draws is not None and draws < least:
        raise VdiffError(f"draws is {draws}; by {method} it must be at least {least}.")
    if batch_size is not None and batch_size < 1:
        raise VdiffError(f"batch_size is {batch_size}; it must be at least 1.")
    if out is not None:
        out = Path(out)
        check_out(out, [*_files([*models.values(), data, condition, train]), *others])
    with nullcontext() if out is None else alone(out):
        parts = parts_of(data, data_root)
        conditions = conditions_of(parts, condition, labels)
        trained = None if train is None else parts_of(train, data_root, train=True)
        rows = Memory(batch_size)
        scorers = [
            _scorer(name, make(str(m)) if isinstance(m, str | Path) else m, parts, conditions)
            for name, m in models.items()
        ]
        pilots = [_pilot(s, trained, condition, labels, seed) for s in scorers]
        key = _key(scorers, conditions, pilots, method, draws, seed)
        kept = Kept(None if out is None else part_of(out), key, scorers, parts)
        if len(kept.done) < kept.total:
            for s, pilot in zip(scorers, pilots, strict=True):
                _fit(s.model, pilot, method, seed, rows)
            _go_on(kept, scorers, conditions, rows, method=method, draws=draws, seed=seed)
        frame = pd.DataFrame(kept.done, columns=list(COLUMNS))
        who = [w for part in parts for w in part.who()]
        for k, name in enumerate(("file", "example")):
            frame[name] = [w[k] for _ in scorers for w in who]
        frame["model"] = np.repeat([s.name for s in scorers], len(who))
        frame = frame[list(SCHEMAS["scores"])]
        if out is not None:
            write_csv(out, frame, "scores")
            part_of(out).unlink(missing_ok=True)
    return frame, [len(part.x) for part in parts]


def differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each pair of models in what `score` returns: first, second, the mean difference first less
    second in bits/dim over the same examples, its standard error over them (NaN for one), and how
    many there are. Examples have the same noise under both, so that most of it cancels."""
    of = {name: rows["bpd"].to_numpy() for name, rows in frame.groupby("model", sort=False)}
    rows = []
    for one, two in itertools.combinations(of, 2):
        z = of[one] - of[two]
        error = std_err(z) if len(z) > 1 else np.nan
        rows.append((one, two, float(z.mean()), error, len(z)))
    return pd.DataFrame(rows, columns=["first", "second", "difference", "std_err", "examples"])


def _files(given: Sequence[Any]) -> list[Path]:
    """The files and folders among what was given."""
    flat = [v for g in given for v in (g if isinstance(g, list | tuple) else [g])]
    words = [str(v) for v in flat if isinstance(v, str | Path)]
    return [Path(w.rpartition(":")[0] if ".py:" in w else w) for w in words]


def _scorer(name: str, model: Any, parts: list[Part], conditions: list[Tensor | None]) -> Scorer:
    if not isinstance(model, Model):
        raise VdiffError(
            f"The model is a {type(model).__name__}; it must be a vdiff.Model, FILE.py:FUNCTION or "
            "a folder."
        )
    xs = [part.fitting(model.space) for part in parts]
    return Scorer(name, copy.copy(model), _said(name, model, conditions[0]), xs)


def _said(name: str, model: Model, condition: Tensor | None) -> np.ndarray:
    try:
        return fingerprint(model, condition)
    except VdiffError as error:
        raise VdiffError(f"{name}: {error}") from None


class Pilot(NamedTuple):
    """What a model is fitted on: examples, or None for its own samples, under a condition."""

    x: Tensor | None
    condition: Tensor | None


def _pilot(
    scorer: Scorer, train: list[Part] | None, condition: Any, labels: bool, seed: int
) -> Pilot | None:
    """None where a model is not to be fitted, or fits itself."""
    if train is None:
        one = isinstance(condition, int)  # many conditions would make it depend on the examples
        fresh = scorer.model.controls is None
        return Pilot(None, torch.full((OWN,), condition)) if one and fresh else None
    if condition is not None and not isinstance(condition, int):
        raise VdiffError(
            "The examples of train have no conditions; give labels, or one condition for all."
        )
    c = conditions_of(train, condition, labels)
    x = torch.cat([part.fitting(scorer.model.space) for part in train])
    rows = torch.randperm(len(x), generator=generator("pilot", seed))[:PILOT]
    return Pilot(
        x[rows], None if c[0] is None else torch.cat([v for v in c if v is not None])[rows]
    )


def _key(
    scorers: list[Scorer],
    conditions: list[Tensor | None],
    pilots: list[Pilot | None],
    method: str,
    draws: int | None,
    seed: int,
) -> np.ndarray:
    """A checksum of all that scores depend on but the networks: (32,) uint8."""
    digest = hashlib.sha256(repr((method, draws, seed, CHUNK)).encode())

    def add(*values: Tensor | None) -> None:
        for v in values:
            digest.update(repr(None if v is None else (v.dtype, v.shape)).encode())
            digest.update(b"" if v is None else v.contiguous().numpy().tobytes())

    add(*conditions)
    for (name, model, _, xs), pilot in zip(scorers, pilots, strict=True):
        digest.update(repr((name, model.space, model.s_min, model.eps_t)).encode())
        add(*xs, *(pilot or ()))
        if model.controls is not None:
            add(model.controls.c, model.controls.c_bar, model.controls.law.weights)
    return np.frombuffer(digest.digest(), np.uint8)


class Kept:
    """done: scores (n, 4) of the first n of all models' examples, model by model."""

    def __init__(
        self, path: Path | None, key: np.ndarray, scorers: list[Scorer], parts: list[Part]
    ) -> None:
        self.path, self.key = path, key
        self.networks = np.stack([s.network for s in scorers])
        self.total = len(scorers) * sum(len(part.x) for part in parts)
        self.done = self._found()
        self.written = len(self.done)

    def _found(self) -> np.ndarray:
        """Scores that an earlier run of the same kept, or none."""
        none = np.zeros((0, len(COLUMNS)))
        if self.path is None or not self.path.exists():
            return none
        try:
            kept = read_npz(self.path, "key", "networks", "done")
        except VdiffError as error:
            log.info("%s Beginning anew.", error)
            return none
        done = kept["done"]
        if not np.array_equal(kept["key"], self.key):
            log.info("%s is of other data, options or models; beginning anew.", self.path)
        elif not same(kept["networks"], self.networks):
            log.info("%s is of another network's output; beginning anew.", self.path)
        elif done.ndim != 2 or done.shape[1] != len(COLUMNS) or len(done) > self.total:
            log.info("%s is damaged; beginning anew.", self.path)
        else:
            log.info("Going on after %d of %d scores.", len(done), self.total)
            return done
        return none

    def write(self) -> None:
        if self.path is not None and len(self.done) > self.written:
            write_npz(self.path, key=self.key, networks=self.networks, done=self.done)
            self.written = len(self.done)


def _go_on(
    kept: Kept,
    scorers: list[Scorer],
    conditions: list[Tensor | None],
    rows: "Memory",
    **how: Any,
) -> None:
    """Scores what is left. What is kept was scored by networks that said the same before and
    after."""
    first, end, new = len(kept.done), 0, [kept.done]
    looked, pause = time.monotonic(), EVERY
    with bar(kept.total, "score", initial=first, unit="example") as progress:
        for scorer in scorers:
            for x, c in zip(scorer.xs, conditions, strict=True):
                for chunk in torch.arange(len(x)).split(CHUNK):
                    end += len(chunk)
                    if end <= first:
                        continue
                    own = None if c is None else c[chunk]
                    new.append(_scores(scorer.model, x[chunk], own, rows, how))
                    progress.update(len(chunk))
                    if (now := time.monotonic()) - looked > pause or end == kept.total:
                        _check_unchanged(kept, scorers, conditions[0])
                        looked = time.monotonic()
                        pause = max(EVERY, (looked - now) / LOOKS)
                        kept.done = np.concatenate(new)
                        kept.write()


def _scores(
    model: Model, x: Tensor, condition: Tensor | None, rows: "Memory", how: dict
) -> np.ndarray:
    found = rows.fit(lambda size: model.log_prob(x, condition, batch_size=size, **how))
    return found.to_pandas()[list(COLUMNS)].to_numpy()


def _check_unchanged(kept: Kept, scorers: list[Scorer], condition: Tensor | None) -> None:
    for s in scorers:
        if not same(s.network, _said(s.name, s.model, condition)):
            if kept.path is not None:
                kept.path.unlink(missing_ok=True)
            raise VdiffError(
                f"The network of {s.name} changed while it was scored: its output at the same "
                "input is another one; score it when it does not change."
            )


def _fit(model: Model, pilot: Pilot | None, method: str, seed: int, rows: "Memory") -> None:
    if method == "elbo" and pilot is not None:
        rows.fit(lambda size: model.fit(*pilot, seed=seed, batch_size=size))


class Memory:
    """How many rows the network sees at once: `size`, or 256, and half as many whenever that was
    too many."""

    def __init__(self, size: int | None) -> None:
        self.size, self.given = size or MOST, size is not None

    def fit(self, ask: Callable[[int], T]) -> T:
        """ask(rows); raises VdiffError where the memory is not enough."""
        while True:
            try:
                return ask(self.size)
            except (MemoryError, RuntimeError) as error:
                if not _of_memory(error):
                    raise
                said = first_line(error)
            if self.given or self.size == 1:
                raise VdiffError(
                    f"The memory is not enough for batches of {self.size} rows ({said}); give a "
                    "smaller batch_size or another device."
                )
            self.size //= 2
            log.info("The memory is not enough; batches have %d rows from here on.", self.size)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _of_memory(error: Exception) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "t allocate memory" in str(error)
