"""What a configuration asks for: every table, figure and file of its results folder.

The pipeline builds these, and what reads a results folder reads these alone: files of an earlier
configuration that lie beside them do not count. Paths are relative to the results folder.
"""

from pathlib import Path

from vdiff.config import Config, validate
from vdiff.config.specs import SPECS
from vdiff.figures.registry import FIGURES
from vdiff.files.layout import parts, run_files, step_files
from vdiff.files.objects import read_json
from vdiff.files.schemas import SCHEMAS

NO_RESULT_DEPENDS_ON = {"results", "data_root", "device", "threads", "gpus"}
NO_RESULT_DEPENDS_ON |= {"container", "slice_minutes", "slices", "part_iterations"}
"""Keys that say where and how to compute."""
VERDICTS = ["claims.csv", "claims.json", "controls.csv"]


def described(config: Config) -> dict:
    """The configuration as a results folder keeps it, without what concerns the machine."""
    return config.model_dump(mode="json", exclude=NO_RESULT_DEPENDS_ON)


def read_described(path: Path) -> Config:
    """A configuration in a file, as `described` has it."""
    return validate(Config, read_json(path))


def read_config(folder: Path) -> Config:
    """The configuration that a results folder speaks of; raises VdiffError when it has none."""
    return read_described(folder / "config.json")


def tables(config: Config) -> list[str]:
    """The tables at the top of the results folder, claims apart."""
    return [f"{schema}.csv" for schema in [*parts(config), "curves"]]


def figures(config: Config) -> list[str]:
    return [
        f"figures/{figure.stem(name)}{ending}"
        for figure in FIGURES.values()
        for name in figure.names(config)
        for ending in figure.endings
    ]


def kept_files(config: Config) -> list[str]:
    """What the report is made from: no weights, no results of single runs that no figure reads."""
    names = ["config.json", *VERDICTS, "manifest.json", *tables(config)]
    for figure in FIGURES.values():
        for name in figure.names(config):
            names += figure.inputs(config, name)
    names += [name for name in figures(config) if name.endswith((".png", ".webp"))]
    return [name for name in dict.fromkeys(names) if not name.endswith("-dark.png")]


def strangers(folder: Path, config: Config) -> list[Path]:
    """Files of a results folder that its configuration does not ask for, in order.

    States, logs and run times are no results and not among them.
    """
    known = {folder / name for name in (*files(config), "manifest.json", "report.html")}
    weights = {folder / name for name in run_files(config, "weights")}
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(
        p
        for p in paths
        if _made(p.relative_to(folder)) and p not in known and p.parent not in weights
    )


def _made(path: Path) -> bool:
    """Whether a file of a results folder is of a kind that the pipeline makes there: the notes of
    whoever works in the folder are none of its business."""
    if path.parts[0] in ("state", "logs") or ".made" in path.parts:
        return False
    endings = {
        "runs": (".csv", ".npz", ".json", ".pt", ".safetensors"),
        "figures": (".png", ".pdf", ".gif", ".webp"),
    }
    if len(path.parts) > 1:
        return path.suffix in endings.get(path.parts[0], ())
    tops = {f"{schema}.csv" for schema in SCHEMAS}
    return path.name in {*tops, "claims.json", "swissroll.ipynb"}


def files(config: Config) -> list[str]:
    """Every file of the results folder but the manifest and the report, which are made from it."""
    names = ["config.json", *VERDICTS, *tables(config), *figures(config)]
    names += [*run_files(config, "run.json"), *run_files(config, "snapshots.csv")]
    names += [path for paths in parts(config).values() for path in paths]
    for spec in SPECS.values():
        for output in spec.outputs:
            if output.schema is None:
                names += step_files(config, spec.name, output.option)
    return names + (["swissroll.ipynb"] if config.notebook else [])
