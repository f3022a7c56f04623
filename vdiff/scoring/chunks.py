"""A data set that is scored in chunks, each by a process of its own, to the bytes of one process.

`cut` reads the examples once and writes them in chunks, for a machine to be given no more than its
own, with how many equal ones came before each: their noise depends on it. `fit` fits the models,
once for all chunks, `score_chunk` scores one, and `gather` puts the table together. Each refuses
what was made for something else.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdiff.data.remarks import Remarks
from vdiff.errors import VdiffError
from vdiff.files.manifest import sha256
from vdiff.files.tidy import read_npz, write_columns, write_npz
from vdiff.likelihood.model import Model
from vdiff.likelihood.noise import counted, digests
from vdiff.scoring import rows
from vdiff.scoring.data import Part, conditions_of, parts_of, real
from vdiff.scoring.fits import packed, unpack
from vdiff.scoring.model import same
from vdiff.scoring.out import alone, check_out, part_of
from vdiff.scoring.rows import Kept, Lot, Memory, Pilot, key_of

log = logging.getLogger(__name__)
Arrays = dict[str, np.ndarray]


def chunks_in(parts: Sequence[Part], size: int) -> list[tuple[int, int, int]]:
    """(part, first, end) of each chunk. None has examples of two parts, so that where the size is a
    multiple of `rows.at_once` a network has the very batches that it has in one process."""
    return [
        (p, first, min(first + size, part.n))
        for p, part in enumerate(parts)
        for first in range(0, part.n, size)
    ]


def planned(data: Any, others: Sequence[str], out: Path, size: int, data_root: Path) -> int:
    """How many chunks there are. others: what else is read. Raises VdiffError for data that are not
    there, and for an `out` that cannot be written or is one of the inputs."""
    check_out(out, rows.files_of([data, *others]))
    return len(chunks_in(parts_of(data, data_root), size))


def cut(
    data: Any,
    *,
    condition: Any,
    labels: bool,
    train: Any,
    seed: int,
    size: int,
    data_root: Path,
    out: Path,
) -> int:
    """Writes OUT/examples/K.npz, K = 1, 2, ..., and OUT/shared.npz, which `fit` takes. Returns how
    many chunks there are."""
    parts = parts_of(data, data_root)
    conditions = conditions_of(parts, condition, labels)
    empty = [part.name for part in parts if not part.n]
    if empty:
        raise VdiffError(f"{empty[0]}: x is empty; it must hold at least one example.")
    chunks, seen, keys, ranges = chunks_in(parts, size), Counter[bytes](), [], _Ranges()
    everyone = [part.who() for part in parts]
    remarks = Remarks()
    for k, (p, first, end) in enumerate(chunks, 1):
        x, c = real(parts[p].rows(first, end)), conditions[p]
        each = digests(x)
        ranges.add(parts[p].name, x)
        remarks.add(f"examples of {parts[p].name}", x, each)
        who = everyone[p][first:end]
        own = {
            "x": x.numpy(),
            "before": np.array(counted(each, seen)),
            "files": np.array([file for file, _ in who]),
            "examples": np.array([n for _, n in who]),
            **({} if c is None else {"condition": c[first:end].numpy()}),
        }
        keys.append(_key(own))
        write_npz(out / "examples" / f"{k}.npz", k=np.array(k), **own)
    shared = {"first": np.zeros(0) if conditions[0] is None else conditions[0][:1].numpy()}
    if train is not None:
        trained = parts_of(train, data_root, train=True)
        pilot = rows.pilot_of(trained, condition, labels, seed)
        ranges.add("The examples of train", pilot.x)
        remarks.add(rows.PILOTS, pilot.x)
        shared["pilot"] = pilot.x.numpy()
        if pilot.condition is not None:
            shared["pilot_condition"] = pilot.condition.numpy()
    for remark in remarks.said():
        log.warning("%s", remark)
    sizes = np.array([part.n for part in parts])
    write_npz(out / "shared.npz", chunks=np.array(keys), sizes=sizes, **shared, **ranges.arrays())
    log.info("%d examples in %d chunks.", sizes.sum(), len(chunks))
    return len(chunks)


def fit(
    models: Mapping[str, Any],
    shared: Path,
    *,
    condition: Any,
    method: str,
    draws: int | None,
    seed: int,
    batch_size: int | None,
    make: Callable[[str], Model],
    out: Path,
) -> None:
    """Writes what all chunks share: the fits of the models and what their networks say. Raises
    VdiffError for models that the examples do not fit, and for networks that change."""
    rows.check_how(method, draws, batch_size)
    told = read_npz(shared, "chunks", "sizes", "first", "names")
    first = _first(told)
    scorers = rows.scorers_of(models, make, first)
    for s in scorers:
        _Ranges.check(told, s.model)
    pilot = None
    if "pilot" in told:
        pilot = Pilot(torch.from_numpy(told["pilot"]), _tensor(told.get("pilot_condition")))
    memory = Memory(batch_size)
    arrays: Arrays = {}
    for m, s in enumerate(scorers):
        told_all = condition if isinstance(condition, int) else first
        rows.fit(s.model, pilot, told_all, method, seed, memory)
        arrays |= {f"{name}_of_{m}": array for name, array in packed(s.model).items()}
        if not same(s.network, rows.said(s.name, s.model, first)):
            raise VdiffError(f"The network of {s.name} changed while it was fitted.")
    write_npz(
        out, asked=key_of(rows.asked(scorers, method, draws, seed), []), chunks=told["chunks"],
        sizes=told["sizes"], first=told["first"], networks=np.stack([s.network for s in scorers]),
        **arrays,
    )  # fmt: skip


def score_chunk(
    models: Mapping[str, Any],
    examples: Path,
    fitted: Path,
    *,
    method: str,
    draws: int | None,
    seed: int,
    batch_size: int | None,
    make: Callable[[str], Model],
    out: Path,
) -> None:
    """Writes the scores of the chunk in `examples`, by the fit in `fitted`; killed, it goes on.
    Raises VdiffError where either is of something else, and for networks that are not those that
    were fitted."""
    rows.check_how(method, draws, batch_size)
    with alone(out, wait=True):
        own = read_npz(examples, "k", "x", "before", "files", "examples")
        shared = read_npz(fitted, "asked", "chunks", "networks", "first")
        k = int(own.pop("k"))
        if not 1 <= k <= len(shared["chunks"]) or not np.array_equal(
            _key(own), shared["chunks"][k - 1]
        ):
            raise VdiffError(f"{examples} is no chunk of the data that {fitted} was made for.")
        key = _scores_key(fitted, shared, k)
        with suppress(VdiffError):  # of one that is damaged, which is made anew
            if out.exists() and np.array_equal(read_npz(out, "key", "done")["key"], key):
                return  # by another process, which was waited for
        first = _first(shared)
        scorers = rows.scorers_of(models, make, first)
        asked = key_of(rows.asked(scorers, method, draws, seed), [])
        if not np.array_equal(asked, shared["asked"]):
            raise VdiffError(f"{fitted} was made for other models or options; make it anew.")
        for m, s in enumerate(scorers):
            if not same(shared["networks"][m], s.network):
                raise VdiffError(
                    f"The network of {s.name} is not the one that {fitted} was made by: its output "
                    f"at the same input is another one; put that one back, or delete {fitted} to "
                    "score all with this one."
                )
            unpack(s.model, {n: shared[f"{n}_of_{m}"] for n in _names(shared, m)})
        x = torch.from_numpy(own["x"])
        lot = Lot(
            [s.model.space.examples(x) for s in scorers],
            _tensor(own.get("condition")),
            own["before"].tolist(),
        )
        kept = Kept(part_of(out), key, scorers, len(x))
        rows.go_on(kept, scorers, [lot], Memory(batch_size), method=method, draws=draws, seed=seed)
        write_npz(out, key=key, done=kept.done, files=own["files"], examples=own["examples"])
        part_of(out).unlink(missing_ok=True)


def gather(
    models: Sequence[str], scores: Path, fitted: Path, out: Path
) -> tuple[rows.Table, list[int]]:
    """Writes the table of SCORES/1.npz, 2.npz, ...; returns it, and how many examples each part of
    the data has. Raises VdiffError where one is of another fit."""
    shared = read_npz(fitted, "chunks", "sizes", "networks")
    if len(shared["networks"]) != len(models):
        raise VdiffError(f"{fitted} was made for other models; make it anew.")
    who: list[tuple[str, int]] = []
    done = []
    for k in range(1, len(shared["chunks"]) + 1):
        path = scores / f"{k}.npz"
        scored = read_npz(path, "key", "done", "files", "examples")
        if not np.array_equal(scored["key"], _scores_key(fitted, shared, k)):
            raise VdiffError(f"{path} was not made by {fitted}; make it anew.")
        done.append(scored["done"].reshape(len(models), len(scored["files"]), -1))
        who += zip(scored["files"].tolist(), scored["examples"].tolist(), strict=True)
    table = rows.table(models, who, np.concatenate(done, 1).reshape(-1, len(rows.COLUMNS)))
    write_columns(out, table)
    return table, shared["sizes"].tolist()


def _key(arrays: Arrays) -> np.ndarray:
    """A checksum of a chunk of examples."""
    return key_of(repr(sorted(arrays)).encode(), [arrays[name] for name in sorted(arrays)])


def _scores_key(fitted: Path, shared: Arrays, k: int) -> np.ndarray:
    """A checksum of all that the scores of a chunk were made from."""
    return key_of(sha256(fitted).encode(), [shared["chunks"][k - 1]])


def _names(shared: Arrays, m: int) -> list[str]:
    """Of the arrays that `packed` gave of a model."""
    return [name.rpartition("_of_")[0] for name in shared if name.endswith(f"_of_{m}")]


def _tensor(array: np.ndarray | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)


def _first(told: Arrays) -> Tensor | None:
    """The condition that a network is told when it is asked who it is."""
    return torch.from_numpy(told["first"]) if len(told["first"]) else None


class _Ranges:
    """The least and the greatest of each place's examples, which are as they would be: by them a
    model knows before any is scored whether all fit it."""

    def __init__(self) -> None:
        self.of: dict[str, list[np.ndarray]] = {}

    def add(self, name: str, x: Tensor) -> None:
        array = x.numpy()
        ends = [np.full(array.shape[1:], end, array.dtype) for end in (array.min(), array.max())]
        earlier = self.of.setdefault(name, [])
        both = np.stack([*earlier, *ends])
        self.of[name] = [both.min(0), both.max(0)]

    def arrays(self) -> Arrays:
        ends = {f"ends_{k}": np.stack(both) for k, both in enumerate(self.of.values())}
        return {"names": np.array(list(self.of)), **ends}

    @staticmethod
    def check(told: Arrays, model: Model) -> None:
        for k, name in enumerate(told["names"].tolist()):
            Part.of(name, torch.from_numpy(told[f"ends_{k}"])).fitting(model.space)
