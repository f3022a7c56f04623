"""What each file of a results folder is to be made from, compared with its provenance before it is
used again, wherever the folder came from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vdiff.config import Config, run_of
from vdiff.config.specs import SPECS
from vdiff.errors import VdiffError
from vdiff.figures.registry import FIGURES, FPS, Figure, Name
from vdiff.files import layout
from vdiff.files.asked import of_curves, of_difference, of_gathered, of_step, of_training
from vdiff.files.atomic import write_bytes
from vdiff.files.codehash import code_hash
from vdiff.files.fingerprint import Fingerprint
from vdiff.files.objects import read_json
from vdiff.files.provenance import Asked, checksum_of, provenance_of, why_unfit
from vdiff.files.tidy import read_csv
from vdiff.report import contents


def of_claims(folder: Path, config: Config) -> Asked:
    """Of the verdicts, from all tables of a results folder."""
    names = ["config.json", *contents.tables(config)]
    facts = {"command": "claims", "code": code_hash("stats.controls")}
    return Asked(facts, [folder / name for name in names])


def of_figure(figure: Figure, options: Mapping, inputs: Sequence[Path]) -> Asked:
    """options: of the drawing function."""
    code = code_hash(f"figures.{figure.module}")
    name = figure.module if figure.moving else figure.name
    return Asked({"command": "plot", "figure": name, "options": options, "code": code}, inputs)


def of_page(folder: Path) -> Asked:
    """Of the report, from all that the manifest lists."""
    facts = {"command": "report", "code": code_hash("report.page")}
    return Asked(facts, [folder / "manifest.json"])


def unfit(config: Config, data: Mapping[str, Fingerprint], folder: Path) -> dict[str, str]:
    """Every job whose results are there and not what the configuration asks for, with the reason,
    by the first file that it makes, relative to the results folder.

    Of a folder in a store provenance is enough, and config.json, run.json and manifest.json.
    """
    by_name = {"config.json": _differs(folder / "config.json", contents.described(config))}
    for who in layout.runs(config):
        name, run = f"{who.folder}/run.json", run_of(config, *who).model_dump()
        by_name[name] = _differs(folder / name, run)
    for names, asked in _asked(config, data, folder):
        there = [name for name in names if checksum_of(folder / name)]
        reasons = [why_unfit(folder / name, asked) for name in there]
        if names[0].endswith("train.csv"):
            reasons.append(_lost((folder / names[0]).with_name("snapshots.csv")))
        by_name[names[0]] = next(filter(None, reasons), None)
    by_name["manifest.json"] = _not_as_listed(folder, contents.files(config))
    return {name: why for name, why in by_name.items() if why}


def needed(config: Config) -> list[str]:
    """The files of a folder that `unfit` judges it by, relative to it."""
    names = ["config.json", "manifest.json", *layout.run_files(config, "run.json")]
    for name in ["report.html", *contents.files(config), *layout.run_files(config, "train.csv")]:
        if name not in names:
            names.append(provenance_of(Path(name)).as_posix())
    return names


def _asked(
    config: Config, data: Mapping[str, Fingerprint], folder: Path
) -> Iterator[tuple[list[str], Asked]]:
    """The files of each job that leaves provenance, and what they are to be made from."""
    for who in layout.runs(config):
        names = [f"{who.folder}/train.csv", f"{who.folder}/snapshots.csv"]
        run_file = folder / who.folder / "run.json"
        yield names, of_training(run_of(config, *who), data[who.experiment], run_file)
    for spec in SPECS.values():
        for who, axis in layout.jobs(config, spec):
            inputs = [folder / who.folder / file for file in ("run.json", "snapshots.csv")]
            settings = getattr(config.experiments[who.experiment], spec.section)
            asked = of_step(
                spec, run_of(config, *who), settings, axis, data[who.experiment], inputs
            )
            yield layout.outputs(spec, who, axis), asked
    for pair in layout.pairs(config):
        yield [pair.file], of_difference(pair._asdict(), [folder / name for name in pair.inputs])
    for schema, tables in layout.parts(config).items():
        yield [f"{schema}.csv"], of_gathered(schema, [folder / name for name in tables])
    yield ["curves.csv"], of_curves(folder / "evaluation.csv")
    yield contents.VERDICTS, of_claims(folder, config)
    for figure in FIGURES.values():
        for whose in figure.names(config):
            names = [f"figures/{figure.stem(whose)}{ending}" for ending in figure.endings]
            yield names, _of_figure(config, figure, whose, folder)
    yield ["report.html"], of_page(folder)


def _of_figure(config: Config, figure: Figure, name: Name, folder: Path) -> Asked:
    options: dict[str, Any] = dict(figure.options(config, name))
    if figure.moving:
        options = {"fps": FPS}
    return of_figure(figure, options, [folder / path for path in figure.inputs(config, name)])


def _differs(path: Path, content: dict) -> str | None:
    """Why a file of JSON is not this content."""
    if not path.exists():
        return None
    try:
        return None if read_json(path) == content else "it is another configuration"
    except VdiffError:
        return "it cannot be read"


def _lost(snapshots: Path) -> str | None:
    """Whether weights that a table lists are gone."""
    if not snapshots.exists():
        return None
    try:
        paths = read_csv(snapshots, "snapshots")["path"]
    except VdiffError:
        return "its table of snapshots cannot be read"
    lost = [path for path in paths if not (snapshots.parent / path).is_file()]
    return f"{lost[0]} is missing" if lost else None


def _not_as_listed(folder: Path, names: Sequence[str]) -> str | None:
    """Why a manifest does not list the files of its folder as they are."""
    if not (folder / "manifest.json").exists():
        return None
    try:
        listed = read_json(folder / "manifest.json")["results"]
        for name in names:
            if (held := checksum_of(folder / name)) and listed[name]["sha256"] != held:
                return f"{name} is another one"
    except (VdiffError, KeyError, TypeError):
        return "it cannot be read, or lacks a file"
    return None


def write_described(config: Config, path: Path) -> None:
    """The configuration as a results folder keeps it, its experiments in their own order, in a file
    for the commands of the jobs."""
    content = json.dumps(contents.described(config)).encode()
    if not path.exists() or path.read_bytes() != content:
        write_bytes(path, content)


def sentence(reasons: Mapping[str, str], mark: Path) -> str:
    """What the mark of a results folder says: a text that is new whenever something does not fit.

    The mark is an input of every job, ancient for those whose results fit: so Snakemake makes again
    the others, and what follows from them. It keeps what it said while all is well.
    """
    if not reasons:
        return mark.read_text() if mark.is_file() else ""
    name, why = next(iter(reasons.items()))
    return f"{datetime.now(UTC).isoformat()}: {name} does not fit: {why}."
