"""The report: one self-contained HTML page of figures, claims, run times and the manifest."""

import base64
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined

from vdiff.config import PAPER, Arm, Config, load_config
from vdiff.errors import VdiffError
from vdiff.figures.registry import FIGURES
from vdiff.files.atomic import write_bytes
from vdiff.files.objects import read_json
from vdiff.files.schemas import SCHEMAS
from vdiff.files.tidy import read_csv
from vdiff.report.contents import read_config, tables
from vdiff.resources import CURVES_ON, published_curves, published_values
from vdiff.stats.beside import beside
from vdiff.stats.evidence import FAILS, HOLDS, MORE, OPEN
from vdiff.stats.gains import gains

CONTROLS = "controls.csv"
MIME = {".csv": "text/csv", ".png": "image/png", ".webp": "image/webp"}


def write_report(folder: Path, out: Path, drawn: Path | None = None) -> None:
    """The page of a results folder with config.json, figures, claims.csv and manifest.json.

    drawn: where the folder figures is, by default in the results folder.
    """
    config = read_config(folder)
    claims = read_csv(folder / "claims.csv", "claims")
    manifest = read_json(folder / "manifest.json")
    counts = claims["verdict"].value_counts()
    figures = _figures(folder, drawn or folder, config)
    shown = {figure["name"] for figure in figures}
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text())
    page = template.render(
        preset=folder.resolve().name,
        claims=[_claim(row, shown) for row in claims.to_dict("records")],
        table=_inline(folder / "claims.csv"),
        counts={
            key: int(counts.get(verdict, 0))
            for key, verdict in (("holds", HOLDS), ("fails", FAILS), ("open", OPEN), ("more", MORE))
        },
        controls=[_control(r) for r in read_csv(folder / CONTROLS, "controls").to_dict("records")],
        controls_table=_inline(folder / CONTROLS),
        gains=_gains(folder, config),
        beside=_beside(folder, config, claims),
        figures=figures,
        times=_times(manifest["results"]),
        # What made each file is in manifest.json; the page shows what made them all.
        manifest={k: v for k, v in manifest.items() if k != "results"},
    )
    write_bytes(out, page.encode())


def _claim(row: dict, shown: set[str]) -> dict:
    known = pd.notna(row["low"])
    interval = f"{row['low']:.4g} to {row['high']:.4g}" if known else ""
    kind = {HOLDS: "holds", FAILS: "fails"}.get(row["verdict"], "open")
    power = f"{row['finds']:.2g}" if pd.notna(row["finds"]) else "unknown"
    if pd.notna(row["effect"]):
        power += f" of {row['effect']:.2g}"
    name = row["figure"]
    links = [("figure", f) for f in (name, f"{name}-{row['experiment']}") if f in shown]
    return {
        **row, "ours": f"{row['ours']:.4g}" if pd.notna(row["ours"]) else "not known",
        "interval": interval, "kind": kind, "power": power,
        "links": links,
    }  # fmt: skip


def _control(row: dict) -> dict:
    interval = f"{row['low']:.3g} to {row['high']:.3g}" if pd.notna(row["low"]) else ""
    power = f"{row['power']:.2f}" if row["power"] < 0.995 else "> 0.99"
    return {**row, "ours": f"{row['ours']:.3g}", "interval": interval, "power": power}


def _gains(folder: Path, config: Config) -> list[dict]:
    """Rows of the section on arms beyond the paper's, in words."""
    curves = read_csv(folder / "curves.csv", "curves")
    differences = pd.DataFrame(columns=list(SCHEMAS["differences"]))
    if "differences.csv" in tables(config):
        differences = read_csv(folder / "differences.csv", "differences")
    found = []
    for row in gains(curves, differences, PAPER[0]):
        if row["arm"] in PAPER:
            continue
        reached, all_of = row["reached"], row["examples"]
        interval = f" ({row['low']:.3f} to {row['high']:.3f})" if pd.notna(row["low"]) else ""
        found.append(
            {
                "experiment": row["experiment"],
                "arm": row["arm"],
                "changes": _changes(config, row["experiment"], row["arm"]),
                "bpd": f"{row['bpd']:.3f} ± {row['se']:.3f}, paper's {row['base_bpd']:.3f}",
                "gain": f"{row['gain']:.3f}{interval}",
                "reached": "not reached" if pd.isna(reached)
                else f"{reached:,.0f} of {all_of:,}: {reached / all_of:.0%}",
            }
        )  # fmt: skip
    return found


def _changes(config: Config, experiment: str, arm: str) -> str:
    """The keys in which an arm differs from the paper's debiased one."""
    arms = config.experiments[experiment].arms
    return ", ".join(f"{k} {own}" for k, own, _ in _differing(arms[arm], arms[PAPER[0]]))


def _differing(arm: Arm, other: Arm) -> list[tuple[str, object, object]]:
    """(key, the arm's value, the other's) of every key in which two arms differ."""
    found = []
    for section in ("sde", "network", "training"):
        own, base = (getattr(a, section).model_dump() for a in (arm, other))
        found += [(k, v, base.get(k)) for k, v in own.items() if base.get(k) != v]
    return found


def _beside(folder: Path, config: Config, claims: pd.DataFrame) -> list[dict]:
    """For each experiment on data with published numbers: its name and theirs, what differs from
    the paper's preset, and a table of both."""
    curves, found = read_csv(folder / "curves.csv", "curves"), []
    paper = load_config({"preset": "paper"}).experiments
    for name, e in config.experiments.items():
        if e.published_on is None or PAPER[0] not in e.arms:
            continue
        own = curves[curves["experiment"] == name]
        theirs = published_curves() if e.published_on == CURVES_ON else None
        values = published_values(e.published_on)
        rows = beside(own, claims[claims["experiment"] == name], values, theirs)
        base = paper[e.published_on].arms[PAPER[0]]
        differ = [f"{k} {v} ({b})" for k, v, b in _differing(e.arms[PAPER[0]], base)]
        seen = own[own["arm"] == PAPER[0]]["examples"].max()
        differ.append(f"training images seen {seen:,} ({values['examples'].max():,})")
        differ.append(f"test images {own['images'].max():,} ({values['test_images'].max():,})")
        found.append({"experiment": name, "on": e.published_on, "differ": ", ".join(differ),
                      "rows": [_beside_row(row) for row in rows]})  # fmt: skip
    return found


def _beside_row(row: dict) -> dict:
    interval = f" ({row['low']:.3g} to {row['high']:.3g})" if pd.notna(row["low"]) else ""
    return {
        "quantity": row["quantity"],
        "published": f"{row['published']:.3g}",
        "ours": f"{row['ours']:.3g}{interval}",
        "agrees": row["agrees"] or "",
    }


def _figures(folder: Path, drawn: Path, config: Config) -> list[dict]:
    """Every figure that the configuration asks for with its caption and the tables it is drawn
    from, in the order of the story."""
    captions = files(__package__) / "captions"
    found = []
    for figure in FIGURES.values():
        caption = (captions / f"{figure.name}.rst").read_text() if figure.names(config) else ""
        ending = ".webp" if figure.moving else ".png"
        for name in figure.names(config):
            stem = drawn / "figures" / figure.stem(name)
            tables = [path for path in figure.inputs(config, name) if path.endswith(".csv")]
            found.append(
                {
                    "moving": figure.moving,
                    "name": figure.stem(name),
                    "caption": caption.strip(),
                    # The caption says what is seen; a reader of the page hears whose it is.
                    "alt": f"{figure.stem(name)}: {caption.split('. ')[0].strip().rstrip('.')}.",
                    "source": _inline(stem.with_name(f"{stem.name}{ending}")),
                    "dark": ""
                    if figure.moving
                    else _inline(stem.with_name(f"{stem.name}-dark.png")),
                    "data": [{"name": path, "source": _inline(folder / path)} for path in tables],
                }
            )
    return found


def _inline(path: Path) -> str:
    """A file as a data URL; raises VdiffError when it cannot be read."""
    try:
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise VdiffError(f"{path} cannot be read: {error.strerror}.") from None
    return f"data:{MIME[path.suffix]};base64,{data}"


def _times(made: dict[str, dict]) -> list[dict]:
    """Wall time and memory of each job, longest first."""
    jobs = {
        Path(record["command"][record["command"].index("--log") + 1]).stem: record
        for record in made.values()
        if "memory_mb" in record
    }
    rows = [
        {"step": job, "seconds": record["seconds"], "memory": record["memory_mb"]}
        for job, record in jobs.items()
    ]
    return sorted(rows, key=lambda row: -row["seconds"])
