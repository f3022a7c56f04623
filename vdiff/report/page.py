"""The report: one self-contained HTML page of figures, claims, run times and the manifest."""

import base64
import json
import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined
from PIL import Image

from vdiff.config import PAPER, Arm, Config, load_config
from vdiff.errors import VdiffError
from vdiff.figures.registry import FIGURES, VALUES
from vdiff.files.atomic import write_bytes
from vdiff.files.objects import read_json
from vdiff.files.schemas import SCHEMAS
from vdiff.files.tidy import read_csv
from vdiff.report.contents import read_config, tables
from vdiff.report.questions import QUESTIONS, WORDS, Question
from vdiff.report.slides import strips
from vdiff.resources import CURVES_ON, published_curves, published_values
from vdiff.stats.beside import beside
from vdiff.stats.claims import OWN
from vdiff.stats.evidence import FAILS, HOLDS, MORE, OPEN
from vdiff.stats.gains import gains

CONTROLS = "controls.csv"
KINDS = {HOLDS: "holds", FAILS: "fails", OPEN: "open", MORE: "more"}
MARKS = {"holds": "✓", "fails": "✗", "open": "?", "more": "·"}
VERDICTS = {"holds": "holds", "fails": "does not hold", "open": "is not resolved",
            "more": "would need a larger preset"}  # fmt: skip
MIME = {".csv": "text/csv", ".png": "image/png", ".webp": "image/webp"}


def write_report(folder: Path, out: Path, drawn: Path | None = None) -> None:
    """The page of a results folder with config.json, figures, claims.csv and manifest.json.

    drawn: where the folder figures is, by default in the results folder.
    """
    config = read_config(folder)
    claims = [_claim(row) for row in read_csv(folder / "claims.csv", "claims").to_dict("records")]
    slugs = [q.slug for q in QUESTIONS]
    claims.sort(key=lambda c: [*slugs, c["question"]].index(c["question"]))  # others last
    manifest = read_json(folder / "manifest.json")
    figures = _figures(folder, drawn or folder, config)
    rest = figures[1:]  # the first, by the registry the one at a glance, stands on top
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text())
    page = template.render(
        preset=folder.resolve().name,
        facts=_facts(folder, manifest),
        sentences=sentences(claims),
        matrix=_matrix(claims),
        marks=MARKS,
        failures=[c for c in claims if c["kind"] == "fails"],
        headline=figures[0] if figures else None,
        words=WORDS,
        questions=_questions(claims, rest),
        others=_folded([f for f in rest if not any(f["kind"] in q.figures for q in QUESTIONS)]),
        table=_inline(folder / "claims.csv"),
        controls=[_control(r) for r in read_csv(folder / CONTROLS, "controls").to_dict("records")],
        controls_table=_inline(folder / CONTROLS),
        gains=_gains(folder, config),
        beside=_beside(folder, config, read_csv(folder / "claims.csv", "claims")),
        times=_times(manifest["results"]),
        # What made each file is in manifest.json; the page shows what made them all.
        manifest={k: v for k, v in manifest.items() if k != "results"},
    )
    write_bytes(out, page.encode())


def _facts(folder: Path, manifest: dict) -> dict[str, str]:
    """When, of which commit and by which command."""
    commit = (manifest.get("vdiff") or {}).get("commit")
    preset = (manifest.get("config") or {}).get("preset", folder.resolve().name)
    facts = {"made": str(manifest.get("made", ""))[:10], "commit": (commit or "")[:10]}
    return {**facts, "command": f"snakemake --cores 2 --config preset={preset}"}


MINUS, RAISED = "\u2212", str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def shown(value: float, digits: int = 2) -> str:
    """A number with two digits, or all that stand before its point.

    >>> shown(-0.41623), shown(24.6), shown(3.2e-05), shown(0.02)
    ('−0.42', '25', '3.2·10⁻⁵', '0.020')
    """
    text = f"{value:,.0f}" if abs(value) >= 10 else f"{value:#.{digits}g}"
    number, _, power = text.partition("e")
    return number.replace("-", MINUS) + (f"·10{str(int(power)).translate(RAISED)}" if power else "")


def _claim(row: dict) -> dict:
    """A row of claims.csv as the page shows it."""
    known = pd.notna(row["low"])
    power = shown(row["finds"]) if pd.notna(row["finds"]) else "unknown"
    if pd.notna(row["effect"]):
        power += f" / {shown(row['effect'])}"
    return {
        **row,
        "ours": shown(row["ours"]) if pd.notna(row["ours"]) else "not known",
        "interval": f"{shown(row['low'])} to {shown(row['high'])}" if known else "",
        "published": re.sub(r"(?<!\w)-(?=\d)", MINUS, row["published"]),
        "kind": KINDS.get(row["verdict"], "open"),
        "power": power,
        "value": row["ours"],
    }


def _ids(claims: list[dict]) -> None:
    """An address for each row: claim and data, with a number where they are there twice."""
    seen: Counter = Counter()
    for c in claims:
        key = f"{c['name']}-{c['experiment']}"
        seen[key] += 1
        c["id"] = key if seen[key] == 1 else f"{key}-{seen[key]}"


def sentences(claims: list[dict]) -> list[str]:
    """What came out, in three sentences at most, of rows by `_claim`."""
    gaps = [c for c in claims if c["name"] == "lower_bpd"]
    samples = [c for c in claims if c["name"] == "better_samples"]
    return [
        *_of_theorems([c for c in claims if c["theorem"]]),
        *_of_gaps(gaps),
        *([f"The claim that debiased samples look better {_by_verdict(samples)}."] * bool(samples)),
    ]


def _of_theorems(theorems: list[dict]) -> list[str]:
    """How many hold; on what they were tested, and by which margins."""
    if not theorems:
        return []
    holds = sum(c["kind"] == "holds" for c in theorems)
    begins = "The mathematics checks out: all " if holds == len(theorems) else f"{holds} of "
    drifts = {"exact": "where the drift is exact", "learned": "on the nets trained here"}
    on, within = Counter(c["drift"] for c in theorems), Counter(c["margin"] for c in theorems)
    margins = [
        f"{n} within {'margins of their own' if margin == OWN else margin}"
        for margin, n in within.items() if margin
    ]  # fmt: skip
    if without := within.get("", 0):
        margins.append(f"{without} without noise or margin")
    return [
        f"{begins}{len(theorems)} statements that are theorems hold; "
        f"{listed([f'{on[drift]} {words}' for drift, words in drifts.items() if on[drift]])}; "
        f"{listed(margins)}."
    ]


def _of_gaps(gaps: list[dict]) -> list[str]:
    """At equal passes, and how that changed over the last doubling of training."""
    if not gaps:
        return []
    parts, told = [], [
        f"{-c['value']:.2f} ({-c['high']:.2f} to {-c['low']:.2f}) on {c['experiment']}"
        for c in gaps if c["kind"] == "holds"
    ]  # fmt: skip
    if told:
        parts.append(f"at equal passes debiasing lowers the bits/dim, by {listed(told)}")
    for kinds, said in ((("fails",), "it does not"), (("open", "more"), "it is not resolved")):
        if data := [str(c["experiment"]) for c in gaps if c["kind"] in kinds]:
            parts.append(f"{said} on {listed(data)}")
    if moved := [_moved(c) for c in gaps if pd.notna(c["change"])]:
        parts.append(f"over the last doubling of the passes that lead changed by {listed(moved)}")
    text = "; ".join(parts)
    return [f"{text[0].upper()}{text[1:]}."]


def _moved(claim: dict) -> str:
    """The change of a lead, which is minus that of the difference."""
    low, high = (-claim[f"change_{end}"] for end in ("high", "low"))
    interval = f" ({low:+.2f} to {high:+.2f})" if pd.notna(low) else ""
    return f"{-claim['change']:+.2f}{interval} on {claim['experiment']}".replace("-", MINUS)


def _by_verdict(claims: list[dict]) -> str:
    """holds on these, does not hold on those."""
    kinds = {kind: [str(c["experiment"]) for c in claims if c["kind"] == kind] for kind in VERDICTS}
    return listed([f"{VERDICTS[kind]} on {listed(data)}" for kind, data in kinds.items() if data])


def listed(words: Sequence[str]) -> str:
    """Words as an English list.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _matrix(claims: list[dict]) -> dict:
    """Claims by data sets: columns, and rows of (claim in short, cells of claims)."""
    _ids(claims)
    columns = list(dict.fromkeys(str(c["experiment"]) for c in claims))
    rows: dict[str, dict[str, list[dict]]] = {}
    for c in claims:
        row = rows.setdefault(c["name"], {column: [] for column in columns})
        row[str(c["experiment"])].append(c)
    first = {c["name"]: c["short"] for c in reversed(claims)}
    return {
        "columns": columns,
        "rows": [(first[name], list(row.values())) for name, row in rows.items()],
    }


def _questions(claims: list[dict], figures: list[dict]) -> list[dict]:
    """The questions that this folder has claims or figures for; other claims come last."""
    known, asked = {q.slug for q in QUESTIONS}, []
    others = {c["question"] for c in claims} - known
    for q in (*QUESTIONS, Question("others", "What else was tested?", "", ())):
        slugs = {q.slug} if q.slug in known else others
        rows = [c for c in claims if c["question"] in slugs]
        shown = _folded([f for kind in q.figures for f in figures if f["kind"] == kind])
        if rows or shown:
            asked.append({**q._asdict(), "rows": _merged(rows), "figures": shown})
    return asked


def _folded(figures: list[dict]) -> list[dict]:
    """The first figure of each kind, with the others behind it, which have the same caption."""
    kinds: dict[str, list[dict]] = {}
    for f in figures:
        kinds.setdefault(f["kind"], []).append(f)
    return [
        {**first, "more": [{**f, "caption": ""} for f in rest]} for first, *rest in kinds.values()
    ]


def _merged(rows: list[dict]) -> list[dict]:
    """Rows of one statement stand under it once: `span` rows from here, 0 within."""
    counts = Counter((c["claim"], c["unit"]) for c in rows)
    seen: set = set()
    order = sorted(rows, key=lambda c: list(counts).index((c["claim"], c["unit"])))
    for c in order:
        key = (c["claim"], c["unit"])
        c["span"] = 0 if key in seen else counts[key]
        seen.add(key)
    return order


def _control(row: dict) -> dict:
    interval = f"{shown(row['low'])} to {shown(row['high'])}" if pd.notna(row["low"]) else ""
    power = f"{row['power']:.2f}" if row["power"] < 0.995 else "> 0.99"
    return {**row, "ours": shown(row["ours"]), "interval": interval, "power": power}


def _gains(folder: Path, config: Config) -> list[dict]:
    """Rows of the section on arms beyond the paper's, in words."""
    curves = read_csv(folder / "curves.csv", "curves")
    differences = pd.DataFrame(columns=list(SCHEMAS["differences"]))
    if "differences.csv" in tables(config):
        differences = read_csv(folder / "differences.csv", "differences")
    gained = []
    for row in gains(curves, differences, PAPER[0]):
        if row["arm"] in PAPER:
            continue
        reached, all_of = row["reached"], row["examples"]
        interval = f" (95% {row['low']:.3f} to {row['high']:.3f})" if pd.notna(row["low"]) else ""
        gained.append(
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
    return gained


def _changes(config: Config, experiment: str, arm: str) -> str:
    """The keys in which an arm differs from the paper's debiased one."""
    arms = config.experiments[experiment].arms
    return ", ".join(f"{k} {own}" for k, own, _ in _differing(arms[arm], arms[PAPER[0]]))


def _differing(arm: Arm, other: Arm) -> list[tuple[str, object, object]]:
    """(key, the arm's value, the other's) of every key in which two arms differ."""
    differing = []
    for section in ("sde", "network", "training"):
        own, base = (getattr(a, section).model_dump() for a in (arm, other))
        differing += [(k, v, base.get(k)) for k, v in own.items() if base.get(k) != v]
    return differing


def _beside(folder: Path, config: Config, claims: pd.DataFrame) -> list[dict]:
    """For each experiment on data with published numbers: its name and theirs, what differs from
    the paper's preset, and a table of both."""
    curves, experiments = read_csv(folder / "curves.csv", "curves"), []
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
        experiments.append({"experiment": name, "on": e.published_on, "differ": ", ".join(differ),
                      "rows": [_beside_row(row) for row in rows]})  # fmt: skip
    return experiments


def _beside_row(row: dict) -> dict:
    interval = f" ({shown(row['low'])} to {shown(row['high'])})" if pd.notna(row["low"]) else ""
    return {
        "quantity": row["quantity"],
        "published": shown(row["published"], 3),
        "ours": f"{shown(row['ours'], 3)}{interval}",
        "agrees": row["agrees"] or "",
    }


def _figures(folder: Path, drawn: Path, config: Config) -> list[dict]:
    """Every figure that the configuration asks for with its caption and the tables it is drawn
    from, in the order of the story."""
    captions = files(__package__) / "captions"
    shown = []
    for figure in FIGURES.values():
        caption = (captions / f"{figure.name}.rst").read_text() if figure.names(config) else ""
        ending = ".webp" if figure.moving else ".png"
        for name in figure.names(config):
            stem = drawn / "figures" / figure.stem(name)
            tables = [path for path in figure.inputs(config, name) if path.endswith(".csv")]
            shown.append(
                {
                    "moving": figure.moving,
                    "name": figure.stem(name),
                    "kind": figure.name,
                    "title": figure.title + (f": {name}" if name else ""),
                    "of": name or "",
                    "caption": caption.strip(),
                    # The caption says what is seen; a reader of the page hears whose it is.
                    "alt": _alt(figure.title, name, caption),
                    "source": _inline(stem.with_name(f"{stem.name}{ending}")),
                    "dark": ""
                    if figure.moving
                    else _inline(stem.with_name(f"{stem.name}-dark.png")),
                    "values": [] if figure.moving else _values(stem.with_name(f"{stem.name}.png")),
                    "slides": _slides(folder, figure.inputs(config, name))
                    if figure.name == "lambda-grid"
                    else [],
                    "data": [{"name": path, "source": _inline(folder / path)} for path in tables],
                }
            )
    return shown


def _values(picture: Path) -> list[dict]:
    """The curves of a picture by its own text (`figures.values`); none in one drawn before."""
    with Image.open(picture) as image:
        return json.loads(image.info.get(VALUES, "[]"))


def _slides(folder: Path, inputs: Sequence[str]) -> list[dict]:
    """λ and its strip of histograms, for the slider."""
    images = strips([folder / path for path in inputs])
    return [{"lmbd": lmbd, "source": _data_url(png, ".png")} for lmbd, png in images]


def _alt(title: str, name: str | None, caption: str) -> str:
    """What is seen, for those who do not: title, data and the caption's first sentence."""
    return f"{title}{f', {name}' if name else ''}: {caption.split('. ')[0].strip().rstrip('.')}."


def _inline(path: Path) -> str:
    """A file as a data URL; raises VdiffError when it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VdiffError(f"{path} cannot be read: {error.strerror}.") from None
    return _data_url(content, path.suffix)


def _data_url(content: bytes, suffix: str) -> str:
    return f"data:{MIME[suffix]};base64,{base64.b64encode(content).decode()}"


def _times(made: dict[str, dict]) -> list[dict]:
    """Wall time, processor time, energy and memory of each job, longest first."""
    jobs = {
        Path(receipt["command"][receipt["command"].index("--log") + 1]).stem: receipt
        for receipt in made.values()
        if "memory_mb" in receipt and "--log" in receipt["command"]  # not of figures drawn anew
    }
    rows = [
        {
            "step": job,
            "seconds": receipt["seconds"],
            "core": receipt.get("cpu_seconds"),  # None in receipts of earlier versions
            "joules": receipt.get("joules"),  # None where nothing counts them
            "memory": receipt["memory_mb"],
        }
        for job, receipt in jobs.items()
    ]
    return sorted(rows, key=lambda row: -(row["core"] or row["seconds"]))
