"""Scores of many examples by one model or several, kept as they come: a killed run goes on."""

import copy
import hashlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from vdiff.data.remarks import Remarks
from vdiff.errors import VdiffError, first_line, needed
from vdiff.files.tidy import read_npz, write_columns, write_npz
from vdiff.likelihood.bound import OWN, PILOT
from vdiff.likelihood.model import Model
from vdiff.likelihood.network import of_memory
from vdiff.likelihood.noise import counted, digests
from vdiff.likelihood.space import Space
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.scoring.data import Part, conditions_of, joined, parts_of, real
from vdiff.scoring.model import fingerprint, model_of, same
from vdiff.scoring.out import alone, check_out, part_of
from vdiff.stats.intervals import std_err

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
EVERY = 0.5  # seconds between two looks at the networks, after which scores are kept
LOOKS = 0.05  # of the time at most, for looks
MOST = 256  # rows that the network sees at once, unless that is too many for the memory
COLUMNS = ("log_prob", "std_err", "bpd", "bpd_std_err")
METHODS = {"elbo": 32, "ode": 4}  # and their draws
PILOTS = "examples that models are fitted on"
T = TypeVar("T")
Table = dict[str, list]
"""The columns of the schema `scores`; model by model, and so example by example."""


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
) -> "pd.DataFrame":
    """Scores of examples by one model or several: the command `vdiff score` in Python.

    Arguments:
        model: A Model, FILE.py:FUNCTION, a diffusers pipeline's folder, or a mapping of names to
            several of these. Models that are given are left as they are.
        data: An NPZ file (x, and labels y if it has them), an .npy file, a folder of PNG or JPEG
            images, the name of a data set, for its test images, or a list of such places; an array
            x (N, ...); or batches of x or of (x, y), such as a DataLoader.
        condition: A class for all examples, or an array or a file with a row for each.
        labels: Whether the labels of the data are the condition.
        train: Examples, as `data` takes them, at most 1,024 of which the control variates are
            fitted on. By default `Model.fit` has its own; under one class for all it takes samples
            of that class, and under conditions that differ there is no fit, and errors are NaN.
        method: elbo or ode, as in `Model.log_prob`.
        draws: Draws per example, as in `Model.log_prob`.
        seed: Seed of the noise.
        batch_size: Rows passed to the network at once, by default as many as fit the memory, at
            most 256. Scores depend on it only by the network's rounding.
        device: The device of models that are yet to be made.
        data_root: The folder of data sets by name.
        out: A CSV to write the scores to at the end. Until then they are kept beside it, and after
            a kill the same call goes on, to the same bytes, as long as the networks say the same.

    Returns:
        A row of the schema `scores` for each model and example, in the order of the input, with
        log_prob and std_err in nats, bpd and bpd_std_err in bits/dim.

    Raises:
        VdiffError: When the input does not fit, before anything is scored, and when a network
            changes meanwhile.
    """
    with needed():
        import pandas as pd
    columns, _ = scored(
        model if isinstance(model, Mapping) else {_called(model): model}, data,
        condition=condition, labels=labels, train=train, method=method, draws=draws, seed=seed,
        batch_size=batch_size, make=lambda spec: model_of(spec, device), data_root=data_root,
        out=out,
    )  # fmt: skip
    return pd.DataFrame(columns)


def _called(model: Any) -> str:
    return str(model) if isinstance(model, str | Path) else "model"


def at_once(method: str, draws: int | None) -> int:
    """Examples that are scored at once: a power of two, so that there are rows for a batch."""
    draws = draws or METHODS[method]
    return 64 if draws <= 8 else 32 if draws <= 16 else 16


class Scorer(NamedTuple):
    """A model under its name, a copy of its own, and what its network says."""

    name: str
    model: Model
    network: np.ndarray


class Lot(NamedTuple):
    """Examples that follow each other: as each model has them, what its network is told of them,
    and how many equal ones came before each, (n,)."""

    xs: list[Tensor]
    condition: Tensor | None
    before: Sequence[int]


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
) -> tuple[Table, list[int]]:
    """The columns of what `score` returns, and how many examples each part of the data has. make: a
    model from its specification; others: files that `out` must not be."""
    check_how(method, draws, batch_size)
    if out is not None:
        out = Path(out)
        check_out(out, [*files_of([*models.values(), data, condition, train]), *others])
    with nullcontext() if out is None else alone(out):
        parts = parts_of(data, data_root)
        conditions = conditions_of(parts, condition, labels)
        trained = None if train is None else parts_of(train, data_root, train=True)
        rows = Memory(batch_size)
        scorers = scorers_of(models, make, conditions[0])
        xs = [[part.fitting(s.model.space) for part in parts] for s in scorers]
        for s, part in itertools.product(scorers, trained or []):
            part.fitting(s.model.space)
        pilot = None if trained is None else pilot_of(trained, condition, labels, seed)
        remarks, seen, counts = Remarks(), Counter[bytes](), []
        for part, x in zip(parts, xs[0], strict=True):
            own = digests(x)
            remarks.add(f"examples of {part.name}", x, own)
            counts.append(counted(own, seen))
        if pilot is not None:
            remarks.add(PILOTS, scorers[0].model.space.examples(pilot.x))
        for remark in remarks.said():
            log.warning("%s", remark)
        lots = [
            Lot(list(x), c, before)
            for x, c, before in zip(zip(*xs, strict=True), conditions, counts, strict=True)
        ]
        key = key_of(
            asked(scorers, method, draws, seed, fitted=True),
            [*(v for lot in lots for v in (*lot.xs, lot.condition)), *(pilot or ())],
        )
        path = None if out is None else part_of(out)
        kept = Kept(path, key, scorers, sum(part.n for part in parts))
        if len(kept.done) < kept.total:
            told = condition if isinstance(condition, int) else conditions[0]
            for s in scorers:
                fit(s.model, pilot, told, method, seed, rows)
            go_on(kept, scorers, lots, rows, method=method, draws=draws, seed=seed)
        columns = table([s.name for s in scorers], [w for p in parts for w in p.who()], kept.done)
        if out is not None:
            write_columns(out, columns)
            part_of(out).unlink(missing_ok=True)
    return columns, [part.n for part in parts]


def check_how(method: str, draws: int | None, batch_size: int | None) -> None:
    """Raise VdiffError for a number or a method that there is none of."""
    if method not in METHODS:
        raise VdiffError(f"The method is {method!r}; it must be {' or '.join(METHODS)}.")
    least = 2 if method == "elbo" else 1
    if draws is not None and draws < least:
        raise VdiffError(f"draws is {draws}; by {method} it must be at least {least}.")
    if batch_size is not None and batch_size < 1:
        raise VdiffError(f"batch_size is {batch_size}; it must be at least 1.")


def table(models: Sequence[str], who: Sequence[tuple[str, int]], done: np.ndarray) -> Table:
    """Of scores (models * n, 4), model by model, of n examples `who`."""
    return {
        "model": [name for name in models for _ in who],
        "file": [file for _ in models for file, _ in who],
        "example": [k for _ in models for _, k in who],
        **dict(zip(COLUMNS, done.T.tolist(), strict=True)),
    }


def differences(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Differences of each pair of models, in bits/dim.

    Arguments:
        frame: What `score` returns.

    Returns:
        A row for each pair with first, second, difference (the mean of first less second over the
        same examples), std_err (over examples; NaN for one) and examples (how many). Both models
        have the same noise, so most of it cancels.
    """
    import pandas as pd

    bpd = {name: rows["bpd"].to_numpy() for name, rows in frame.groupby("model", sort=False)}
    columns = ["first", "second", "difference", "std_err", "examples"]
    return pd.DataFrame(paired(bpd), columns=columns)


def paired(of: Mapping[str, np.ndarray]) -> list[tuple[str, str, float, float, int]]:
    """The rows of `differences`, of the bits/dim (n,) by each model."""
    rows = []
    for one, two in itertools.combinations(of, 2):
        z = of[one] - of[two]
        error = std_err(z) if len(z) > 1 else np.nan
        rows.append((one, two, float(z.mean()), error, len(z)))
    return rows


def files_of(given: Sequence[Any]) -> list[Path]:
    """The files and folders among what was given."""
    flat = [v for g in given for v in (g if isinstance(g, list | tuple) else [g])]
    words = [str(v) for v in flat if isinstance(v, str | Path)]
    return [Path(w.rpartition(":")[0] if ".py:" in w else w) for w in words]


def scorers_of(
    models: Mapping[str, Any], make: Callable[[str], Model], condition: Tensor | None
) -> list[Scorer]:
    """Of models, or what makes them, by their names. condition: its first is what a network is told
    when it is asked who it is."""
    scorers = []
    for name, given in models.items():
        model = make(str(given)) if isinstance(given, str | Path) else given
        if not isinstance(model, Model):
            raise VdiffError(
                f"The model is a {type(model).__name__}; it must be a vdiff.Model, "
                "FILE.py:FUNCTION or a folder."
            )
        scorers.append(Scorer(name, copy.copy(model), said(name, model, condition)))
    return scorers


def said(name: str, model: Model, condition: Tensor | None) -> np.ndarray:
    """The fingerprint of the network of that name."""
    try:
        return fingerprint(model, condition)
    except VdiffError as error:
        raise VdiffError(f"{name}: {error}") from None


class Pilot(NamedTuple):
    """The examples that models are fitted on, and their conditions."""

    x: Tensor
    condition: Tensor | None


def pilot_of(train: list[Part], condition: Any, labels: bool, seed: int) -> Pilot:
    """At most PILOT of the examples of train, picked at random."""
    if condition is not None and not isinstance(condition, int):
        raise VdiffError(
            "The examples of train have no conditions; give labels, or one condition for all."
        )
    c = conditions_of(train, condition, labels)
    places = [(part, k) for part in train for k in range(part.n)]
    rows = torch.randperm(len(places), generator=generator("pilot", seed))[:PILOT]
    picked = [places[row] for row in rows.tolist()]
    x = joined([real(part.rows(k, k + 1)) for part, k in picked], "train: the examples")
    return Pilot(x, None if c[0] is None else torch.cat([v for v in c if v is not None])[rows])


def fit(
    model: Model,
    pilot: Pilot | None,
    condition: int | Tensor | None,
    method: str,
    seed: int,
    rows: "Memory",
) -> None:
    """On the pilot; without one as `Model.fit` does by itself, under one class for all on samples
    of that class, and under conditions that differ not at all: what the model makes of an example
    would depend on the others."""
    if method != "elbo":
        return
    if pilot is not None:
        x = model.space.examples(pilot.x)
        rows.fit(lambda size: model.fit(x, pilot.condition, seed=seed, batch_size=size))
    elif model.controls is None and isinstance(condition, int):
        own = torch.full((OWN,), condition)
        rows.fit(lambda size: model.fit(None, own, seed=seed, batch_size=size))
    elif model.controls is None and condition is None:
        rows.fit(lambda size: model.fit(batch_size=size))


def asked(
    scorers: list[Scorer], method: str, draws: int | None, seed: int, fitted: bool = False
) -> bytes:
    """What is asked of which models, in words. fitted: and what they come fitted to."""
    words = [repr((method, draws, seed, at_once(method, draws)))]
    for name, model, _ in scorers:
        space = model.space
        known = space if isinstance(space, Space) else (space.shape, space.levels, space.d_x)
        words.append(repr((name, known, model.s_min, model.eps_t)))
        if fitted and model.controls is not None:
            c = model.controls
            words.append(repr([v.tolist() for v in (c.c, c.c_bar, c.law.weights)]))
    return "\n".join(words).encode()


def key_of(asked: bytes, values: Sequence[Tensor | np.ndarray | None]) -> np.ndarray:
    """A checksum of all that scores depend on but the networks: (32,) uint8."""
    digest = hashlib.sha256(asked)
    for v in values:
        if v is not None:
            v = np.ascontiguousarray(v)
            digest.update(repr((str(v.dtype), v.shape)).encode())
            digest.update(v.tobytes())
        digest.update(b";")
    return np.frombuffer(digest.digest(), np.uint8)


class Kept:
    """done: scores (n, 4) of the first n of all models' examples, model by model."""

    def __init__(
        self, path: Path | None, key: np.ndarray, scorers: list[Scorer], examples: int
    ) -> None:
        self.path, self.key = path, key
        self.networks = np.stack([s.network for s in scorers])
        self.total = len(scorers) * examples
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


def go_on(kept: Kept, scorers: list[Scorer], lots: list[Lot], rows: "Memory", **how: Any) -> None:
    """Scores what is left. What is kept was scored by networks that said the same before and
    after."""
    first, end, new = len(kept.done), 0, [kept.done]
    size = at_once(how["method"], how["draws"])
    looked, pause = time.monotonic(), EVERY
    with bar(kept.total, "score", initial=first, unit="example") as progress:
        for m, scorer in enumerate(scorers):
            for lot in lots:
                for some in torch.arange(len(lot.before)).split(size):
                    end += len(some)
                    if end <= first:
                        continue
                    new.append(_scores(scorer.model, m, lot, some, rows, how))
                    progress.update(len(some))
                    if (now := time.monotonic()) - looked > pause or end == kept.total:
                        _check_unchanged(kept, scorers, lots[0].condition)
                        looked = time.monotonic()
                        pause = max(EVERY, (looked - now) / LOOKS)
                        kept.done = np.concatenate(new)
                        kept.write()


def _scores(model: Model, m: int, lot: Lot, some: Tensor, rows: "Memory", how: dict) -> np.ndarray:
    x, condition = lot.xs[m][some], None if lot.condition is None else lot.condition[some]
    before = [int(lot.before[k]) for k in some.tolist()]
    model.earlier = dict(zip(reversed(digests(x)), reversed(before), strict=True))
    logp = rows.fit(lambda size: model.log_prob(x, condition, batch_size=size, **how))
    return np.stack([logp.value, logp.error, logp.bits_per_dim, logp.bits_error], 1)


def _check_unchanged(kept: Kept, scorers: list[Scorer], condition: Tensor | None) -> None:
    for s in scorers:
        if not same(s.network, said(s.name, s.model, condition)):
            if kept.path is not None:
                kept.path.unlink(missing_ok=True)
            raise VdiffError(
                f"The network of {s.name} changed while it was scored: its output at the same "
                "input is another one; score it when it does not change."
            )


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
                if not of_memory(error):
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
