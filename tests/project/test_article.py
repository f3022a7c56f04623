"""The article: its numbers are those of the tables, and it is drawn to the same bytes."""

import importlib.util
import re
import shutil
import sys

import pandas as pd
import pytest
from support.pipeline import ROOT

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
    text = re.sub(r"#?(val|found|lowered|percent)\(.*?\)", "", text)
    text = re.sub(r"^\s*(#|image\(|text\(|table\.|columns:|\.\.).*$", "", text, flags=re.M)
    typed = set(re.findall(r"\d+\.\d+|\d+ ?%|\d{2,}", text))
    # Levels of tests and the length of a training on a GPU, which no table has.
    assert typed <= {"0.99", "5%", "80%", "95%", "12", "10"}, typed


def test_every_name_in_the_text_is_in_the_tables(make):
    known = make.values(REFERENCE)
    text = (HERE / "article.typ").read_text().partition("#v(0.5em)")[2]
    for name in re.findall(r'#?(?:val|percent)\("([^"]+)"', text):
        assert name in known, name
    for name in re.findall(r'#(?:found|lowered)\("([^"]+)"', text):
        assert f"{name}.low" in known, name


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
    assert f"by {mnist} (95% {mnist_range}) and {cifar} ({cifar_range}) at equal passes" in readme
    assert f"it shrinks by {v['laptop.mnist.lower_bpd.slope']:.2f} with every doubling" in readme
    missed = [v[f"laptop.{of}.bias.uniform.last"] for of in ("mnist", "cifar10_subset")]
    assert {f"{x:.0%}" for x in missed} == {"70%"}
    debiased = [v[f"laptop.{of}.bias.debiased.last"] for of in ("mnist", "cifar10_subset")]
    said = " and ".join(f"{x:.0%}" for x in debiased)
    assert f"uniform times miss 70% of the bound's gradient on both, debiased ones {said}" in readme
    records = pd.read_csv(REFERENCE / "pretrained" / "records.csv").set_index("name")
    bpd, error = (records[column] for column in ("bpd", "std_err"))
    names = ("cifar10-record", "mnist-record")
    c, m = ((bpd[name], error[name]) for name in names)
    assert f"{c[0]:.2f} ± {c[1]:.2f} bits/dim; mnist-record: {m[0]:.3f} ± {m[1]:.3f}" in readme
