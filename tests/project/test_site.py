"""The documentation site: it builds without a warning and shows without the network."""

import re
import shutil
import subprocess
import sys

import pytest
from support.browser import opened, violations
from support.pipeline import ROOT

pytest.importorskip("zensical", reason="needs the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built strictly: a broken link or anchor is an error. The notebook is not run here."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("docs", "vdiff", "notebooks", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "results").mkdir()
    for name in ("zensical.toml", "README.md", "CHANGELOG.md", "results/README.md"):
        shutil.copy(ROOT / name, folder / name)
    command = [sys.executable, "docs/site.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_a_broken_anchor_is_an_error(site, tmp_path):
    folder = shutil.copytree(site.parent, tmp_path / "project")
    page = folder / "docs" / "claims.md"
    page.write_text(page.read_text() + "\n[x](recipes.md#no-such-anchor)\n")
    command = [sys.executable, "docs/site.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "anchor does not exist" in done.stderr


def test_no_page_asks_the_network(site):
    for page in site.glob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert not [url for url in loaded if "canonical" not in url], page


@pytest.mark.parametrize("name", ["index", "python", "bound", "claims", "cloud"])
def test_axe_finds_nothing_wrong_with_a_page(site, tmp_path, name):
    """But for names of the navigation, which the theme makes, and for scrolling regions,
    which browsers have learnt to focus since this axe was written."""
    found = violations(site / f"{name}.html", tmp_path)
    known = ("md-code__nav", "md-nav", "scrollable-region-focusable")
    assert [line for line in found if not any(word in line for word in known)] == []


@pytest.mark.parametrize("name", ["index", "mathematics", "bound", "likelihood", "tutorial"])
def test_a_browser_shows_the_page(site, name):
    """Opened where it lies: its style and pictures are found, no formula is left as LaTeX."""
    page = site / f"{name}.html"
    dom, said = opened(page, site)
    assert 'data-broken="0"' in dom
    assert "<title>error" not in dom, said
    assert "\\mathbb" not in re.sub(r"<(script|pre|code|annotation).*?</\1>", "", dom, flags=re.S)
    if name == "bound":
        assert dom.count("<math") >= 2
        assert 'id="vdiff.diffusion.elbo"' in dom
