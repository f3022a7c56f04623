"""The article as PDF: its numbers from the kept tables by their names, its figures drawn anew.

    python docs/article/make.py [--reference results/reference] [--out docs/article/vdiff.pdf]

article.typ says #val("laptop.mnist.lower_bpd.ours") where a number stands; a name that no table has
is an error. The same tables make the same bytes.
"""

import argparse
import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import typst

from vdiff.config import PAPER
from vdiff.figures.draw import draw
from vdiff.figures.registry import FIGURES
from vdiff.report.contents import read_config
from vdiff.resources import published_curves, published_values
from vdiff.stats.claims import OWN, TENTH
from vdiff.stats.evidence import HOLDS
from vdiff.stats.published import published_effect

HERE = Path(__file__).parent
REFERENCE = HERE.parents[1] / "results" / "reference"
FOLDERS = {"laptop": "laptop", "swissroll": "paper-swissroll"}
DRAWN = {
    "bpd": ("laptop", "bpd", "cifar10_subset"),
    "gap": ("laptop", "gap", None),
    "bias": ("laptop", "gradient-bias", None),
    "lambda": ("swissroll", "lambda-grid", "swissroll"),
    "distances": ("swissroll", "distances", "swissroll"),
    "theory": ("swissroll", "theory", "swissroll"),
}
DATED = datetime(2026, 11, 27, tzinfo=UTC)  # of the text
PLAIN = re.compile(r"[^A-Za-z0-9_]+")
COLUMNS = ("ours", "low", "high", "change", "change_low", "change_high", "finds", "effect", "short",
           "verdict")  # fmt: skip


def values(reference: Path) -> dict[str, float | str]:
    """Every number that the article may name."""
    found: dict[str, float | str] = {}
    for short, folder in FOLDERS.items():
        claims = pd.read_csv(reference / folder / "claims.csv")
        controls = pd.read_csv(reference / folder / "controls.csv")
        for verdict in ("holds", "does not hold", "not resolved", "needs more"):
            count = claims["verdict"].str.startswith(verdict).sum()
            found[f"{short}.count.{PLAIN.sub('_', verdict)}"] = int(count)
        found[f"{short}.count.all"] = len(claims)
        theorems = claims[claims["theorem"]]
        count = {"all": theorems["theorem"], "hold": theorems["verdict"] == HOLDS}
        count |= {drift: theorems["drift"] == drift for drift in ("learned", "exact")}
        count |= {"tenth": theorems["margin"] == TENTH, "own": theorems["margin"] == OWN}
        count |= {"none": theorems["margin"].isna()}
        found |= {f"{short}.theorems.{name}": int(of.sum()) for name, of in count.items()}
        found[f"{short}.controls.all"] = len(controls)
        found[f"{short}.controls.rejected"] = int(controls["rejected"].sum())
        if len(controls):
            found[f"{short}.controls.power"] = float(controls["power"].min())
        for row in claims.itertuples():
            key = f"{short}.{row.experiment}.{row.name}"
            n = 2
            while f"{key}.verdict" in found:  # exact and learned, mixture and net
                key = f"{short}.{row.experiment}.{row.name}_{n}"
                n += 1
            for column in COLUMNS:
                found[f"{key}.{column}"] = getattr(row, column)
        gradient = pd.read_csv(reference / folder / "gradient.csv")
        for (experiment, law), part in gradient.groupby(["experiment", "law"]):
            part = part.sort_values("iteration")
            for end, row in (("first", part.iloc[0]), ("last", part.iloc[-1])):
                found[f"{short}.{experiment}.bias.{law}.{end}"] = float(row["relative_bias"])
        train = pd.read_csv(reference / folder / "train.csv")
        train = train[train["arm"] == PAPER[1]]  # whose length the paper's other arm has, too
        for experiment, part in train.groupby("experiment"):
            found[f"{short}.{experiment}.iterations"] = int(part["iteration"].max())
            found[f"{short}.{experiment}.seeds"] = int(part["seed"].nunique())
        curves = pd.read_csv(reference / folder / "curves.csv")
        for (experiment, arm), part in curves[curves["estimator"] == "efficient"].groupby(
            ["experiment", "arm"]
        ):
            last = part.sort_values("iteration").iloc[-1]
            key = f"{short}.{experiment}.{PLAIN.sub('_', arm)}"
            found |= {f"{key}.bpd": float(last["bpd"]), f"{key}.examples": int(last["examples"])}
    effect = published_effect(published_curves())
    found |= {f"published.{name}": value for name, value in effect._asdict().items()}
    for row in published_values("cifar10").itertuples():
        found[f"published.{'True' if row.debias else 'False'}"] = float(row.bpd)
        found["published.examples"] = int(row.examples)
    for row in pd.read_csv(reference / "pretrained" / "records.csv").itertuples():
        for column in ("bpd", "std_err", "images", "passes", "k_hat"):
            found[f"record.{PLAIN.sub('_', row.name)}.{column}"] = getattr(row, column)
    sizes = pd.read_csv(reference / "recipes" / "step_sizes.csv")
    for (data, arm), best in sizes.groupby(["data", "arm"]):
        ends = best.groupby("lr")["bpd"].agg(["mean", "sem"])
        low = ends["mean"].idxmin()
        key = f"step_size.{data}.{PLAIN.sub('_', arm)}"
        found |= {f"{key}.lr": float(low), f"{key}.bpd": float(ends["mean"][low])}
        found[f"{key}.se"] = float(ends["sem"][low])
    return {name: value for name, value in found.items() if value == value}  # JSON has no NaN


def figures(reference: Path, into: Path) -> None:
    for name, (short, kind, experiment) in DRAWN.items():
        folder, figure = reference / FOLDERS[short], FIGURES[kind]
        config = read_config(folder)
        inputs = [folder / path for path in figure.inputs(config, experiment)]
        draw(kind, inputs, [into / f"{name}.pdf"], [], **figure.options(config, experiment))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--out", type=Path, default=HERE / "vdiff.pdf")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy(HERE / "article.typ", work)
        shutil.copy(HERE / "references.bib", work)
        (work / "values.json").write_text(json.dumps(values(options.reference)))
        figures(options.reference, work)
        pdf = typst.compile(
            str(work / "article.typ"), ignore_system_fonts=True, timestamp=int(DATED.timestamp())
        )
    options.out.write_bytes(pdf)


if __name__ == "__main__":
    main()
