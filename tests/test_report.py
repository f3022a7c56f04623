"""The report page, in a real browser where there is one; and comparisons of two results."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT

from vdiff import tidy
from vdiff.cli import main
from vdiff.figures import draw
from vdiff.report import write_report

CAPTIONS = ROOT / "workflow" / "report"


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "demo"
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "benchmarks" / "train.tsv").write_text("s\tmax_rss\n12.5\t300\n")
    row = dict.fromkeys(tidy.SCHEMAS["claims"], 0.5)
    words = {"claim": "A <b>claim</b>", "verdict": "holds", "why": "tested", "where": "here"}
    tidy.write_csv(folder / "claims.csv", [{**row, **words}], "claims")
    tidy.write_json(folder / "manifest.json", {"seed": 1})
    figures = folder / "figures"
    draw(
        "published",
        [ROOT / "workflow/resources/cifar10_bpd_published.csv"],
        [figures / "published.png"],
    )
    return folder


def test_the_page_needs_nothing_but_itself(results):
    write_report(results, CAPTIONS, results / "report.html")
    page = (results / "report.html").read_text()
    assert "A &lt;b&gt;claim" in page  # escaped
    assert 'src="data:image/png;base64,' in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("<figure") == 1
    assert "12.5" in page


def opened(page, folder):
    """The page's DOM after a headless browser has shown it, and what it logged."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium, which is not installed")
    probe = """<script>window.onerror = e => { document.title = "error " + e; };
    window.onload = () => { document.body.dataset.broken =
      [...document.images].filter(i => !i.complete || !i.naturalWidth).length;
      document.body.dataset.images = document.images.length; };</script></body>"""
    probed = folder / "probe.html"
    probed.write_text(page.read_text().replace("</body>", probe))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
         "--virtual-time-budget=5000", "--dump-dom", probed.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout, done.stderr


def test_a_browser_shows_every_image_and_the_table(results):
    write_report(results, CAPTIONS, results / "report.html")
    dom, messages = opened(results / "report.html", results)
    assert 'data-broken="0"' in dom
    assert 'data-images="1"' in dom
    assert "<title>vdiff report" in dom
    assert "A &lt;b&gt;claim" in dom
    assert ":CONSOLE(" not in messages


def per_image(folder, shift):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, 50))
    u = np.stack([(rng.permutation(50) + 0.5) / 50 for _ in range(2)])
    noise = 0.01 * np.random.default_rng(1).standard_normal((2, 50)) if shift else 0
    path = folder / "runs" / "digits" / "debias-True" / "seed-0" / "per_image.npz"
    tidy.write_npz(path, efficient_00000010=z + shift + noise, u=u)


def test_two_results_are_compared_in_pairs(tmp_path):
    per_image(tmp_path / "a", 0.2)
    per_image(tmp_path / "b", 0.0)
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    words += ["--out", str(tmp_path / "c.csv"), "--figure", str(tmp_path / "c.png")]
    assert CliRunner().invoke(main, words).exit_code == 0
    (row,) = tidy.read_csv(tmp_path / "c.csv", "comparison").to_dict("records")
    assert row["difference"] == pytest.approx(0.2, abs=4 * row["std_err"])
    assert row["std_err"] < 0.005
    assert (tmp_path / "c.png").stat().st_size > 3000


def test_nothing_in_common_is_one_sentence(tmp_path):
    result = CliRunner().invoke(main, ["compare", str(tmp_path), str(tmp_path), "--out", "c.csv"])
    assert result.exit_code == 1
    assert "no evaluated run in common" in result.output


def test_manifest_names_versions_and_machine(tmp_path):
    result = CliRunner().invoke(
        main, ["manifest", "--config", '{"a": 1}', "--out", str(tmp_path / "m")]
    )
    assert result.exit_code == 0
    manifest = json.loads((tmp_path / "m").read_text())
    assert manifest["config"] == {"a": 1}
    assert manifest["packages"]["torch"].startswith("2.")
    assert len(manifest["code"]["train"]) == 12
