"""The article: its numbers are those of the tables, and it is drawn to the same bytes."""

import contextlib
import importlib.util
import math
import re
import shutil
import sys
import zlib

import pandas as pd
import pytest
from support.pipeline import ROOT

from vdiff.figures.draw import draw
from vdiff.figures.registry import FIGURES
from vdiff.report.contents import read_config

pytest.importorskip("typst", reason="the extra docs is not installed")
HERE = ROOT / "docs" / "article"
REFERENCE = ROOT / "results" / "reference"


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("article_make", HERE / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(make, monkeypatch, out, reference=REFERENCE):
    words = ["make.py", "--reference", str(reference), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    make.main()
    return out.read_bytes()


def test_no_result_is_typed_into_the_text():
    """Outside of code, formulas and figures' widths no number has a decimal point or a per cent."""
    text = (HERE / "article.typ").read_text()
    text = text[text.index("#v(0.5em)") :]
    text = re.sub(r"\$.*?\$|@\w+", "", text, flags=re.S)  # formulas and citations
    text = re.sub(r"#?(val|found|lowered|moved|percent|drawn)\(.*?\)", "", text)
    text = re.sub(r"^\s*(#|text\(|table\.|columns:|\.\.).*$", "", text, flags=re.M)
    typed = set(re.findall(r"\d+\.\d+|\d+ ?%|\d{2,}", text))
    # Levels of tests, what a wrong formula is off by, a cosine in words, the names of data sets.
    assert typed <= {"0.99", "5%", "80%", "95%", "10", "200"}, typed


def test_every_name_in_the_text_is_in_the_tables(make):
    known = make.values(REFERENCE)
    text = (HERE / "article.typ").read_text().partition("#v(0.5em)")[2]
    for name in re.findall(r'#?(?:val|percent)\("([^"]+)"', text):
        assert name in known, name
    for name in re.findall(r'#(?:found|lowered)\("([^"]+)"', text):
        assert f"{name}.low" in known, name
    for name in re.findall(r'#moved\("([^"]+)"', text):
        assert f"{name}.change_low" in known, name


def test_authors_and_verdicts_are_those_of_the_repository(make):
    """The table of verdicts is the README's, and no drift, unit or margin of a row is missing."""
    text = (HERE / "article.typ").read_text()
    assert 'json("authors.json")' in text and "vdiff authors" not in text
    tables = make.tables(REFERENCE)
    readme = (ROOT / "README.md").read_text()
    for row in tables["verdicts"]:
        assert f"| {' | '.join(row)} |" in readme
    none = make.printed(math.nan)
    for _, _, drift, unit, ours, *_, effect, mark, verdict in tables["statements"]:
        assert drift in ("learned drift", "exact drift") and unit and ours != none
        assert effect != none or mark == "✓"
        assert verdict and len(unit) < 25


@pytest.mark.slow
def test_letters_of_figures_can_be_read_in_print(make, tmp_path):
    """Of the figures as they stand in the article, at their own size: at least 7 points, but for
    exponents, which matplotlib sets at 0.7 of that. The text's own sizes are at least that."""

    def sizes(path):
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", path.read_bytes(), re.S)
        found: set[float] = set()
        for stream in streams:
            with contextlib.suppress(zlib.error):
                said = re.findall(rb"/F\S+ ([\d.]+) Tf", zlib.decompress(stream))
                found |= {float(size) for size in said}
        return found

    make.figures(REFERENCE, tmp_path)
    drawn = sorted(tmp_path.glob("*.pdf"))
    assert len(drawn) == len(make.DRAWN)
    for path in drawn:
        found = sizes(path)
        assert found and all(x >= 7 or x == pytest.approx(4.9, abs=0.3) for x in found), path
        (width,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", path.read_bytes())
        assert float(width) == pytest.approx(6.75 * 72)  # as the article shows it
    text = (HERE / "article.typ").read_text()
    assert "image(file, width: 6.75in)" in text and text.count("image(") == 1
    assert min(float(x) for x in re.findall(r"(?:size: |text\()([\d.]+)pt", text)) >= 7
    small = FIGURES["bpd"]  # as the report draws it, whose notes are smaller
    config = read_config(REFERENCE / "laptop")
    inputs = [REFERENCE / "laptop" / path for path in small.inputs(config, "cifar10_subset")]
    draw("bpd", inputs, [tmp_path / "small.pdf"], [], experiment="cifar10_subset")
    assert 6 in sizes(tmp_path / "small.pdf")  # so that the measure sees small letters


def test_a_number_of_a_table_is_the_articles(make, tmp_path):
    shutil.copytree(REFERENCE, tmp_path / "kept")
    table = tmp_path / "kept/laptop/claims.csv"
    claims = pd.read_csv(table)
    row = (claims["name"] == "lower_bpd") & (claims["experiment"] == "mnist")
    claims.loc[row, "ours"] -= 1
    claims.to_csv(table, index=False)
    before, after = (make.values(path)["laptop.mnist.lower_bpd.ours"]
                     for path in (REFERENCE, tmp_path / "kept"))  # fmt: skip
    assert after == pytest.approx(before - 1)


@pytest.mark.slow
def test_the_kept_article_is_that_of_the_kept_tables(make, monkeypatch, tmp_path):
    """Byte for byte, if this machine draws as that which made it; else the same number of pages."""
    again = made(make, monkeypatch, tmp_path / "again.pdf")
    assert again == made(make, monkeypatch, tmp_path / "twice.pdf")
    kept = (HERE / "vdiff.pdf").read_bytes()
    pages = [len(re.findall(rb"/Type\s*/Page\b", pdf)) for pdf in (again, kept)]
    assert pages[0] == pages[1]
    assert 6 <= pages[0] <= 10
    table = REFERENCE / "laptop" / "claims.csv"
    shutil.copytree(REFERENCE, tmp_path / "kept")
    other = tmp_path / "kept/laptop/claims.csv"
    other.write_text(table.read_text().replace("lower_bpd,", "lower_bpd_,"))
    with pytest.raises(Exception, match="lower_bpd"):
        made(make, monkeypatch, tmp_path / "none.pdf", tmp_path / "kept")


def test_the_readme_says_what_the_tables_say(make):
    """Its results are typed, for a README cannot look them up; here they are looked up."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    v = make.values(REFERENCE)

    def gain(of):
        low, high = sorted(-v[f"laptop.{of}.lower_bpd.{end}"] for end in ("low", "high"))
        return f"{-v[f'laptop.{of}.lower_bpd.ours']:.2f}", f"{low:.2f} to {high:.2f}"

    (mnist, mnist_range), (cifar, cifar_range) = gain("mnist"), gain("cifar10_subset")
    assert (
        f"by {mnist} (95% {mnist_range}) and {cifar} ({cifar_range}) at equal passes on MNIST and "
        "on the subset of CIFAR-10" in readme
    )
    shrank = " and ".join(
        f"{v[f'{key}.change']:.2f} ({v[f'{key}.change_low']:.2f} to {v[f'{key}.change_high']:.2f})"
        for key in ("laptop.mnist.lower_bpd", "laptop.cifar10_subset.lower_bpd")
    )
    assert f"the last doubling of the passes that lead shrank by {shrank}" in readme
    ratios = {
        f"{math.expm1(v[f'laptop.{of}.higher_error.ours']):.0%}"
        for of in ("mnist", "cifar10_subset")
    }
    published = f"{math.expm1(v['published.log_ratio']):.0%}"
    assert f"is larger by {ratios.pop()} on both (published: {published})" in readme
    assert not ratios
    assert "laptop.mnist.higher_error.low" not in v  # how sure that is
    missed = [v[f"laptop.{of}.bias.uniform.last"] for of in ("mnist", "cifar10_subset")]
    assert {f"{x:.0%}" for x in missed} == {"70%"}
    debiased = [v[f"laptop.{of}.bias.debiased.last"] for of in ("mnist", "cifar10_subset")]
    said = " and ".join(f"{x:.0%}" for x in debiased)
    assert f"uniform times miss 70% of the bound's gradient on both, debiased ones {said}" in readme
    n: dict[str, float] = {}
    for name, count in v.items():
        if ".theorems." in name:
            kind = name.rpartition(".")[2]
            n[kind] = n.get(kind, 0) + count
    said = (
        f"Of {n['all']} statements that are theorems {n['hold']} hold, {n['learned']} on nets "
        f"trained here and {n['exact']} with an exact drift: {n['tenth']} within a tenth of the "
        f"published effect, {n['own']} within margins of their own, {n['none']} without noise"
    )
    assert said in readme
    assert n["all"] == n["hold"] == n["learned"] + n["exact"] == n["tenth"] + n["own"] + n["none"]
    assert v["laptop.mnist_long.better_samples.verdict"] == "does not hold"
    assert "Samples do not improve on the longest pair, of MNIST" in readme
    records = pd.read_csv(REFERENCE / "pretrained" / "records.csv").set_index("name")
    bpd, error = (records[column] for column in ("bpd", "std_err"))
    names = ("cifar10-record", "mnist-record")
    c, m = ((bpd[name], error[name]) for name in names)
    assert f"{c[0]:.2f} ± {c[1]:.2f} bits/dim on the *subset* of CIFAR-10" in readme
    assert f"{m[0]:.3f} ± {m[1]:.3f} bits/dim after" in readme
    ends = pd.read_csv(REFERENCE / "laptop" / "curves.csv")
    ends = ends[
        ends["iteration"] == ends.groupby(["experiment", "arm"])["iteration"].transform("max")
    ]
    of_paper = ends[ends["arm"] != "improved"]
    seen = of_paper["examples"]
    assert f"nets that saw {seen.min():,} to {seen.max():,} images" in readme
    cifar = of_paper[of_paper["experiment"] == "cifar10_subset"].query("estimator == 'efficient'")
    true, false = (cifar[cifar["debias"] == debias]["bpd"].item() for debias in (True, False))
    assert f"end at {true:.2f} and {false:.2f} bits/dim on a subset of CIFAR-10" in readme


def test_the_readme_says_of_samples_what_the_kept_table_says():
    """Of every pair of trainings which is farther from test images; and that on CIFAR-10 both are
    a thousand times as far as training images are."""
    frame = pd.read_csv(REFERENCE / "laptop" / "quality.csv")
    frame = frame[frame["space"].isin(["classes", "turns"]) & (frame["arm"] != "improved")]
    frame = frame[frame["iteration"] == frame.groupby("experiment")["iteration"].transform("max")]
    by_arm = frame[frame["measure"] == "kernel"].pivot(
        index=["experiment", "seed"], columns="debias", values="value"
    )
    farther = (by_arm[True] > by_arm[False]).sum()
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"in all {farther} pairs of trainings the debiased ones are farther" in readme
    assert farther == len(by_arm)
    cifar = frame[frame["experiment"] == "cifar10_subset"]
    real = cifar[cifar["measure"] == "kernel_of_real"]
    assert by_arm.loc["cifar10_subset"].min().min() > 1000 * (real["value"].max())
    assert f"after {cifar['iteration'].max()} iterations, both arms' are blobs" in readme
