"""What a file was made from: its provenance, beside it, by which it is known wherever it goes.

That of FOLDER/NAME is FOLDER/.made/NAME.json, written after it. It holds the checksum of the file,
so that one without the other, or of another time, is noticed; `made_from`, the part of the
configuration that the file depends on, the hash of the code and the checksums of the data; and the
checksums of the files that it was made of.
"""

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vdiff.errors import VdiffError
from vdiff.files.manifest import sha256
from vdiff.files.objects import read_json, write_json

FOLDER = ".made"


class Asked(NamedTuple):
    """What a file is to be made from: facts, and the files whose content it depends on."""

    made_from: Mapping
    inputs: Sequence[Path]


def provenance_of(path: Path) -> Path:
    return path.parent / FOLDER / f"{path.name}.json"


def write_provenance(path: Path, asked: Asked) -> None:
    """The provenance of a file that has just been made."""
    inputs = {_relative(used, path): sha256(used) for used in asked.inputs}
    content = {"sha256": sha256(path), "made_from": asked.made_from, "inputs": inputs}
    write_json(provenance_of(path), content)


def read_provenance(path: Path) -> dict | None:
    """The provenance of a file, None for one that has none.

    Raises VdiffError when the file is not the one that its provenance was written with.
    """
    if not provenance_of(path).is_file():
        return None
    provenance = read_json(provenance_of(path))
    if provenance.get("sha256") != sha256(path):
        raise VdiffError(
            f"{path} is not the file that {provenance_of(path)} tells of; make it again, or delete "
            "this provenance if the file was changed on purpose."
        )
    return provenance


def why_unfit(path: Path, asked: Asked) -> str | None:
    """Why a file is not what is asked for, in a few words; None for one that is."""
    try:
        provenance = json.loads(provenance_of(path).read_text())
        if provenance["sha256"] != checksum_of(path):
            return "it was changed since it was made"
        wanted = json.loads(json.dumps(asked.made_from))
        for key in sorted(wanted.keys() | provenance["made_from"].keys()):
            if wanted.get(key) != provenance["made_from"].get(key):
                return f"it was made from another {key}"
        inputs = provenance["inputs"]
        for used in asked.inputs:
            if inputs.get(_known(used, path, inputs)) != checksum_of(used):
                return f"it was made from another {used.name}"
        if len(inputs) != len(asked.inputs):
            return "it was made from other files"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "it does not say what it was made from"
    return None


def check_alike(paths: Sequence[Path]) -> None:
    """Raise VdiffError unless each file is as its provenance has it, and those of an experiment and
    arm come from one configuration, one code and one data set, seeds apart."""
    first: dict[tuple, tuple[Path, dict]] = {}
    for path in paths:
        provenance = read_provenance(path)
        if provenance is None or "run" not in provenance["made_from"]:
            continue
        made_from = provenance["made_from"]
        run = {key: value for key, value in made_from["run"].items() if key != "seed"}
        facts = {key: value for key, value in made_from.items() if key not in ("run", "axis")}
        facts |= {f"run.{key}": value for key, value in run.items()}
        who = (run["experiment"], run["arm"])
        before, others = first.setdefault(who, (path, facts))
        for key in sorted(facts.keys() | others.keys()):
            if facts.get(key) != others.get(key):
                raise VdiffError(
                    f"{before} and {path} were made from different {key}; they cannot be put "
                    "together."
                )


@cache
def checksum_of(path: Path) -> str | None:
    """Of a file while the rules are read; inputs of several are read once. Of one that is in a
    store, whose provenance alone is here, what that says; None for one that is nowhere."""
    if path.is_file():
        return sha256(path)
    beside = provenance_of(path)
    try:
        return read_json(beside).get("sha256") if beside.is_file() else None
    except VdiffError:
        return None


def _relative(used: Path, path: Path) -> str:
    """A file as seen from the folder of another: a results folder can be moved, and so can folders
    in it that are linked back."""
    return Path(os.path.relpath(used.absolute(), path.parent.absolute())).as_posix()


def _known(used: Path, path: Path, inputs: Mapping) -> str:
    """The name that a provenance has a file by: as it was given, or where links led then."""
    name = _relative(used, path)
    return name if name in inputs else _relative(used.resolve(), path.resolve())
