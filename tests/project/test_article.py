"""The article: its numbers are those of the tables, and it is drawn to the same bytes."""

import contextlib
import math
import re
import shutil
import sys
import zlib
from functools import partial

import pandas as pd
import pytest
from support.pipeline import ROOT
from support.said import REFERENCE, article

from vdiff.figures.draw import draw
from vdiff.figures.registry import FIGURES
from vdiff.report.contents import read_config

pytest.importorskip("typst", reason="the extra docs is not installed")
HERE = ROOT / "docs" / "article"


@pytest.fixture(scope="module")
def make():
    return article()


@pytest.fixture(scope="module")
def drawn(make, tmp_path_factory):
    """A folder with the figures of the article; drawn once, not changed."""
    folder = tmp_path_factory.mktemp("drawn")
    make.figures(REFERENCE, folder)
    return folder


def made(make, monkeypatch, out, reference=REFERENCE):
    words = ["make.py", "--reference", str(reference), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    make.main()
    return out.read_bytes()


def typed(text: str) -> set[str]:
    """Numbers with a decimal point, a per cent or two digits, outside of code and formulas."""
    text = re.sub(r"\$.*?\$|@\w+", "", text, flags=re.S)  # formulas and citations
    text = re.sub(r"#?(val|found|lowered|moved|percent|drawn)\(.*?\)", "", text)
    text = re.sub(r"^\s*(#|text\(|table\.|columns:|\.\.).*$", "", text, flags=re.M)
    return set(re.findall(r"\d+\.\d+|\d+ ?%|\d{2,}", text))


def test_no_result_is_typed_into_the_text():
    """But for levels of tests, faults of 5%, a cosine in words, CIFAR-10 and H200."""
    text = (HERE / "article.typ").read_text()
    text = text[text.index("#v(0.5em)") :]
    assert typed(text) <= {"0.99", "5%", "80%", "95%", "10", "200"}, typed(text)
    assert "3.41" in typed(text.replace("*Scale.*", "*Scale.* At 3.41 bits/dim"))


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
def test_letters_of_figures_can_be_read_in_print(make, drawn, tmp_path):
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

    paths = sorted(drawn.glob("*.pdf"))
    assert len(paths) == len(make.DRAWN)
    for path in paths:
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
def test_the_kept_article_is_that_of_the_kept_tables(make, drawn, monkeypatch, tmp_path):
    """The same tables make the same bytes, with figures that were drawn at another time; the kept
    article, which another machine may have drawn, has the same number of pages."""
    again = made(make, monkeypatch, tmp_path / "again.pdf")
    copied = partial(shutil.copytree, drawn, dirs_exist_ok=True)
    monkeypatch.setattr(make, "figures", lambda reference, into: copied(into))
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
