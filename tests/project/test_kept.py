"""What the READMEs of kept results say is what their tables say."""

import json
import re

import pandas as pd
import pytest
from PIL import Image
from support.pipeline import ROOT

from vdiff.figures.draw import draw
from vdiff.figures.registry import VALUES
from vdiff.report.page import KINDS, MARKS
from vdiff.resources import published_curves
from vdiff.stats.course import change, of_published, share_of_passes
from vdiff.stats.intervals import late

REFERENCE = ROOT / "results" / "reference"


def rows(claims: pd.DataFrame) -> list[str]:
    """Lines of a Markdown table, three digits at most."""
    found = []
    for c in claims.itertuples():
        drift = next((f" ({d})" for d in ("exact drift", "learned drift") if d in c.claim), "")
        interval = f"{c.low:.3g} to {c.high:.3g}" if pd.notna(c.low) else "none"
        least = f"{c.finds:.2g}" if pd.notna(c.finds) else "unknown"
        finds = f"{least} of {c.effect:.2g}" if pd.notna(c.effect) else "no noise"
        cells = [
            f"{c.short}{drift}", c.experiment, c.published.split(" (")[0],
            f"{c.ours:.3g} {c.unit}", interval, finds, f"**{c.verdict}**",
        ]  # fmt: skip
        found.append(f"| {' | '.join(cells)} |")
    return found


@pytest.mark.parametrize("folder", ["laptop", "paper-swissroll", "paper-swissroll-arms"])
def test_the_readme_of_a_kept_folder_has_its_claims(folder):
    claims = pd.read_csv(REFERENCE / folder / "claims.csv")
    readme = (REFERENCE / folder / "README.md").read_text()
    missing = [row for row in rows(claims) if row not in readme]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("name", ["cifar10_subset", "mnist", "mnist_long"])
def test_the_page_on_claims_has_the_course_of_the_kept_gap(name):
    """The gap at the end, its change over the last doubling, where it was lowest, and the share of
    passes: a row of the table."""
    gaps, means = (
        frame[(frame["experiment"] == name) & (frame["estimator"] == "efficient")]
        for frame in (
            pd.read_csv(REFERENCE / "laptop" / f"{t}.csv") for t in ("differences", "curves")
        )
    )
    gaps = gaps[(gaps["second"] == "debias-False") & (gaps["iteration"] > 0)]
    end = gaps[gaps["iteration"] == gaps["iteration"].max()]["difference"].mean()
    true, false = (means[means["arm"] == f"debias-{b}"] for b in (True, False))
    found, least = change(gaps), gaps.groupby("iteration")["difference"].mean()
    row = (
        f"{end:.2f} | {found.ours:+.2f} ({found.low:+.2f} to {found.high:+.2f}) | "
        f"{least.min():.2f} at {least.idxmin():,} | {share_of_passes(true, false):.0%} |"
    ).replace("-", chr(0x2212))
    assert row in (ROOT / "docs" / "claims.md").read_text(), row


def test_the_page_on_claims_has_the_course_of_the_published_gap():
    gap = of_published(published_curves())
    found = change(gap, shared=False)
    row = (
        f"{late(gap)['difference'].mean():.2f} | {found.ours:+.2f} "
        f"({found.low:+.2f} to {found.high:+.2f}) |"
    ).replace("-", chr(0x2212))
    assert row in (ROOT / "docs" / "claims.md").read_text(), row


def test_the_page_on_claims_has_the_tails_that_leave_the_claim_on_standard_errors_open():
    """Of the pairs' differences, and of debias True alone, at the end of training."""

    def ends(table):
        frame = pd.read_csv(REFERENCE / "laptop" / f"{table}.csv")
        frame = frame[(frame["estimator"] == "published") & ~frame.isin(["improved"]).any(axis=1)]
        last = frame.groupby("experiment")["iteration"].transform("max")
        return frame[frame["iteration"] == last]

    pairs, runs = ends("differences"), ends("evaluation")
    true = runs[runs["debias"] & runs["experiment"].str.startswith("mnist")]
    k, most = pairs["k_hat"], pairs["k_most"]
    page = (ROOT / "docs" / "claims.md").read_text()
    assert k.min() > most.max()
    said = f"k̂ of {k.min():.1f} to {k.max():.1f} where {most.min():.2f} to {most.max():.2f} is"
    assert said in page, said
    said = f"alone have {true['k_hat'].min():.2f} to {true['k_hat'].max():.2f}"
    assert said in page, said


def test_the_page_on_records_has_the_kept_ends():
    """Of the trainings that have no packaged weights; those have a test of their own."""
    course = pd.read_csv(REFERENCE / "recipes" / "record_course.csv")
    last = course.groupby(["data", "entry"]).last()
    record, recipes = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("record", "recipes"))
    for key in (("cifar10_subset", "hour"), ("cifar10_subset", "night"), ("mnist", "hour")):
        row = last.loc[key]
        said = f"{row['bpd']:.3f} ± {row['std_err']:.3f}"
        line = rf"\| {said} \|.*\| {int(row['passes']):,} \| {row['seconds']:,.0f} core-seconds"
        assert re.search(line, record), line
        assert record.count(f"{row['bpd']:.3f}") >= 3
    assert f"is at {said} after an hour" in recipes


def test_the_readme_has_the_verdicts_of_the_kept_tables():
    """A row for each claim; with two marks, of the exact and of the learned drift."""
    data = {
        "swissroll": "Swissroll", "mnist": "MNIST", "mnist_long": "MNIST, 4 times as long",
        "cifar10_subset": "CIFAR-10 subset",
    }  # fmt: skip
    folders = ("paper-swissroll", "paper-swissroll-arms", "laptop")
    claims = pd.concat([pd.read_csv(REFERENCE / name / "claims.csv") for name in folders])
    lines = [f"| claim | {' | '.join(data.values())} |", "|---|" + ":-:|" * len(data)]
    for short in claims["short"].unique():
        row = claims[claims["short"] == short]
        cells = []
        for name in data:
            verdicts = row[row["experiment"] == name]["verdict"]
            cells.append("".join(dict.fromkeys(MARKS[KINDS[v]] for v in verdicts)))
        lines.append(f"| {short} | {' | '.join(cells)} |")
    assert "\n".join(lines) in (ROOT / "README.md").read_text(), "\n".join(lines)


def test_the_picture_of_the_readme_has_the_kept_curves(tmp_path):
    """If this fails: vdiff plot headline results/reference/laptop/curves.csv
    --out docs/headline.png --dark docs/headline-dark.png. A PNG tells its curves in its text."""
    again = tmp_path / "again.png"
    draw("headline", [REFERENCE / "laptop" / "curves.csv"], [again])
    said = [Image.open(path).info[VALUES] for path in (again, ROOT / "docs/headline.png")]
    assert json.loads(said[0]) == json.loads(said[1])
