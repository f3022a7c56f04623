"""What a table is to be made from: configuration, code, data and the files before it.

The commands write it into the provenance of what they make (`files/provenance.py`); the pipeline
compares it with what it is asked for (`report/asked.py`, which tells of figures and pages too).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from vdiff.config import Run
from vdiff.config.specs.spec import Spec
from vdiff.files.codehash import code_hash
from vdiff.files.fingerprint import Fingerprint
from vdiff.files.provenance import Asked


def of_training(run: Run, data: Fingerprint, run_file: Path) -> Asked:
    """Of train.csv and snapshots.csv."""
    facts = {"run": run.model_dump(mode="json"), "code": code_hash("training.loop")}
    return Asked({"command": "train", **facts, "data": data.images}, [run_file])


def of_step(
    step: Spec, run: Run, settings: BaseModel, axis: Mapping, data: Fingerprint,
    inputs: Sequence[Path],
) -> Asked:  # fmt: skip
    """Of a step's outputs; inputs: the run file and the table of snapshots."""
    facts = {
        "command": step.name,
        "run": run.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "axis": dict(axis),
        "code": code_hash(f"steps.{step.name}"),
        "data": data.images if step.name != "quality" else {**data.images, "labels": data.labels},
    }
    return Asked(facts, inputs)


def of_difference(who: Mapping, inputs: Sequence[Path]) -> Asked:
    code = code_hash("stats.aggregate")
    return Asked({"command": "difference", "who": dict(who), "code": code}, inputs)


def of_gathered(schema: str, inputs: Sequence[Path]) -> Asked:
    code = code_hash("files.tidy")
    return Asked({"command": "aggregate", "schema": schema, "code": code}, inputs)


def of_curves(evaluation: Path) -> Asked:
    return Asked({"command": "curves", "code": code_hash("stats.aggregate")}, [evaluation])
