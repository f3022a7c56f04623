"""The report: one self-contained HTML page of figures, claims, run times and the manifest."""

import base64
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined

from vdiff.claims import FAILS, HOLDS, OPEN
from vdiff.errors import VdiffError
from vdiff.tidy import read_csv, read_json, write_bytes

ORDER = (
    "bpd", "differences", "samples", "sampling", "lambda-grid", "lambda-strips", "lambda",
    "distances", "standard-error", "variance", "likelihood", "loss", "published",
)  # fmt: skip
MIME = {".png": "image/png", ".webp": "image/webp"}


def write_report(folder: Path, captions: Path, out: Path) -> None:
    """folder: a results folder with figures, claims.csv and manifest.json; captions: *.rst."""
    claims = read_csv(folder / "claims.csv", "claims")
    manifest = read_json(folder / "manifest.json")
    counts = claims["verdict"].value_counts()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text())
    page = template.render(
        preset=folder.name,
        claims=[_claim(row) for row in claims.to_dict("records")],
        counts={name: int(counts.get(name, 0)) for name in (HOLDS, FAILS, OPEN)},
        figures=_figures(folder / "figures", captions),
        times=_times(folder / "benchmarks"),
        # What made each file is in manifest.json; the page shows what made them all.
        manifest={k: v for k, v in manifest.items() if k != "results"},
    )
    write_bytes(out, page.encode())


def _claim(row: dict) -> dict:
    known = pd.notna(row["low"])
    interval = f"{row['low']:.4g} to {row['high']:.4g}" if known else ""
    kind = {HOLDS: "holds", FAILS: "fails"}.get(row["verdict"], "open")
    return {**row, "ours": f"{row['ours']:.4g}", "interval": interval, "kind": kind}


def _figures(folder: Path, captions: Path) -> list[dict]:
    """Every figure with its caption, in the order of the story; the longest kind that fits."""
    paths = sorted(p for p in folder.iterdir() if p.suffix in MIME and not p.stem.endswith("-dark"))
    kinds = sorted(ORDER, key=len, reverse=True)
    found = []
    for path in paths:
        kind = next((k for k in kinds if path.stem == k or path.stem.startswith(f"{k}-")), None)
        if kind is None:
            continue
        try:
            caption = (captions / f"{kind}.rst").read_text().strip()
        except OSError as error:
            raise VdiffError(f"{captions / kind}.rst cannot be read: {error.strerror}.") from None
        data = base64.b64encode(path.read_bytes()).decode()
        found.append(
            {
                "kind": kind,
                "name": path.stem,
                "caption": caption,
                "source": f"data:{MIME[path.suffix]};base64,{data}",
            }
        )
    return sorted(found, key=lambda f: (ORDER.index(f["kind"]), f["name"]))


def _times(folder: Path) -> list[dict]:
    """Wall time and memory of each step, longest first, from Snakemake's benchmark files."""
    rows = []
    for path in sorted(folder.glob("*.tsv")):
        row = pd.read_csv(path, sep="\t", na_values="-").iloc[0]
        rows.append({"step": path.stem, "seconds": float(row["s"]), "memory": row["max_rss"]})
    return sorted(rows, key=lambda row: -row["seconds"])
