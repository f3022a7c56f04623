"""The article as PDF: its numbers from the kept tables by their names, its figures drawn anew.

    python docs/article/make.py [--reference results/reference] [--out docs/article/vdiff.pdf]

article.typ says #val("laptop.mnist.lower_bpd.ours") where a number stands; a name that no table has
is an error. So it is with its tables, and its authors are those of CITATION.cff. The same tables
make the same bytes.
"""

import argparse
import json
import re
import shutil
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap

import pandas as pd
import yaml
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from vdiff.config import PAPER
from vdiff.figures import style
from vdiff.figures.registry import FIGURES
from vdiff.report.contents import read_config
from vdiff.report.page import KINDS, MARKS, MINUS, RAISED
from vdiff.resources import published_curves, published_values
from vdiff.stats.claims import OWN, TENTH
from vdiff.stats.evidence import HOLDS
from vdiff.stats.published import published_effect

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REFERENCE = ROOT / "results" / "reference"
FOLDERS = {"laptop": "laptop", "swissroll": "paper-swissroll", "arms": "paper-swissroll-arms"}
DATA = {
    "swissroll": "Swissroll", "mnist": "MNIST", "mnist_long": "MNIST, 4 times as long",
    "cifar10_subset": "CIFAR-10 subset",
}  # fmt: skip
DRAWN = {
    "bpd": ("laptop", "bpd", "cifar10_subset"),
    "gap": ("laptop", "gap", None),
    "bias": ("laptop", "gradient-bias", None),
    "lambda": ("swissroll", "lambda-grid", "swissroll"),
    "distances": ("swissroll", "distances", "swissroll"),
    "theory": ("swissroll", "theory", "swissroll"),
    "samples-mnist": ("laptop", "samples", "mnist"),
    "samples-cifar10": ("laptop", "samples", "cifar10_subset"),
}
SMALLEST = 7  # points, of a letter in a figure; exponents are smaller
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
        if (reference / folder / "gradient.csv").exists():
            gradient = pd.read_csv(reference / folder / "gradient.csv")
            for (experiment, law), part in gradient.groupby(["experiment", "law"]):
                part = part.sort_values("iteration")
                for end, row in (("first", part.iloc[0]), ("last", part.iloc[-1])):
                    found[f"{short}.{experiment}.bias.{law}.{end}"] = float(row["relative_bias"])
        found |= {f"{short}.{name}": value for name, value in computed(reference / folder).items()}
        train = pd.read_csv(reference / folder / "train.csv")
        train = train[train["arm"] == PAPER[1]]  # whose length the paper's other arm has, too
        for experiment, part in train.groupby("experiment"):
            found[f"{short}.{experiment}.iterations"] = int(part["iteration"].max())
            found[f"{short}.{experiment}.seeds"] = int(part["seed"].nunique())
        for experiment, of in read_config(reference / folder).experiments.items():
            found[f"{short}.{experiment}.channels"] = of.network.channels
            found[f"{short}.{experiment}.batch"] = of.training.batch_size
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
    course = pd.read_csv(reference / "recipes" / "record_course.csv")
    for (data, entry), part in course.groupby(["data", "entry"]):
        found[f"record.{data}.{entry}.seconds"] = float(part["seconds"].iloc[-1])
    numbers = pd.read_csv(reference / "numbers.csv", dtype=str)
    for row in numbers[numbers["page"] == "docs/article/article.typ"].itertuples():
        found[f"measured.{row.section}"] = float(row.numbers)
    return {name: value for name, value in found.items() if value == value}  # JSON has no NaN


def computed(folder: Path) -> dict[str, float | str]:
    """Hours of the jobs (each has one thread), largest memory in GB, and the machine."""
    manifest = json.loads((folder / "manifest.json").read_text())
    jobs = {tuple(of["command"]): of for of in manifest["results"].values() if "command" in of}
    found: dict[str, float | str] = {"hours": sum(of["seconds"] for of in jobs.values()) / 3600}
    found["memory"] = max(of.get("memory_mb", 0) for of in jobs.values()) / 1000
    for rule in {of["rule"] for of in jobs.values()}:
        seconds = sum(of["seconds"] for of in jobs.values() if of["rule"] == rule)
        found[f"minutes.{rule}"] = seconds / 60
    return found | {"cpu": manifest["machine"]["cpu"], "cpus": manifest["machine"]["cpus"]}


def printed(value: float) -> str:
    """Three digits, with a minus sign; tiny ones by a power of ten.

    >>> printed(-0.49), printed(0.0000423), printed(float("nan"))
    ('−0.49', '4.2·10⁻⁵', '–')
    """
    if value != value:
        return "\u2013"
    if 0 < abs(value) < 1e-3:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits}·10{str(int(power)).translate(RAISED)}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)


def tables(reference: Path) -> dict[str, list[list[str]]]:
    """Verdicts by claim and data, as in the README; and every statement in a row."""
    folders = (FOLDERS[name] for name in ("swissroll", "arms", "laptop"))
    claims = pd.concat([pd.read_csv(reference / name / "claims.csv") for name in folders])
    verdicts, rows = [], []
    for short in dict.fromkeys(claims["short"]):
        cells = []
        for name in DATA:
            of = claims[(claims["short"] == short) & (claims["experiment"] == name)]
            marks = dict.fromkeys(MARKS[KINDS[verdict]] for verdict in of["verdict"])
            cells.append("".join(marks))
        verdicts.append([short, *cells])
    for c in claims.itertuples():
        drift = f"{c.drift} drift" if c.drift in ("learned", "exact") else ""
        interval = f"{printed(c.low)} to {printed(c.high)}" if c.low == c.low else "none"
        unit = re.split(r", | over | of | against | \(", c.unit)[0]
        rows.append([c.short, DATA[c.experiment], drift, unit, printed(c.ours), interval,
                     printed(c.finds), printed(c.effect), MARKS[KINDS[c.verdict]],
                     c.verdict])  # fmt: skip
    return {"data": [list(DATA.values())], "verdicts": verdicts, "statements": rows}


def minus(text: str) -> str:
    return re.sub(r"(?<![\w$^{])-(?=\d)|(?<= )-(?= )", MINUS, text)


def figures(reference: Path, into: Path) -> None:
    """As the report draws them, for print: no title that the caption has, names as the text has
    them, no letter too small."""
    for name, (short, kind, experiment) in DRAWN.items():
        folder, figure = reference / FOLDERS[short], FIGURES[kind]
        config = read_config(folder)
        inputs = [folder / path for path in figure.inputs(config, experiment)]
        with style.paper():
            module = import_module(f"vdiff.figures.{figure.module}")
            drawn = module.draw(inputs, **figure.options(config, experiment))
            title = drawn.get_suptitle()
            if experiment and title.startswith(experiment):
                drawn.suptitle("")
            for text in drawn.findobj(Text):
                text.set_fontsize(max(SMALLEST, text.get_fontsize()))
                head, newline, rest = text.get_text().partition("\n")
                text.set_text(minus(DATA.get(head, head) + newline + rest))
            for title in (legend.get_title() for legend in drawn.legends):
                title.set(text="\n".join(wrap(title.get_text(), 110)), multialignment="center")
            for axis in (axis for ax in drawn.axes for axis in (ax.xaxis, ax.yaxis)):
                if isinstance(axis.get_major_locator(), FixedLocator):
                    axis.set_ticklabels([minus(of.get_text()) for of in axis.get_ticklabels()])
            style.save(drawn, [into / f"{name}.pdf"])
    shutil.copy(ROOT / "docs" / "gallery" / "inference-swissroll.png", into)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--out", type=Path, default=HERE / "vdiff.pdf")
    options = parser.parse_args()
    import typst  # values and tables need none

    with TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy(HERE / "article.typ", work)
        shutil.copy(HERE / "references.bib", work)
        (work / "values.json").write_text(json.dumps(values(options.reference)))
        (work / "tables.json").write_text(json.dumps(tables(options.reference)))
        authors = yaml.safe_load((ROOT / "CITATION.cff").read_text())["authors"]
        (work / "authors.json").write_text(json.dumps([author["name"] for author in authors]))
        figures(options.reference, work)
        pdf = typst.compile(
            str(work / "article.typ"), ignore_system_fonts=True, timestamp=int(DATED.timestamp())
        )
    options.out.write_bytes(pdf)


if __name__ == "__main__":
    main()
