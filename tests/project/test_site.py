"""The documentation site: it builds without a warning and shows without the network."""

import os
import re
import subprocess
import sys

import pytest
from support.browser import opened
from support.pipeline import ROOT

pytest.importorskip("mkdocs", reason="needs the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built strictly: a broken link or anchor is an error. The notebook is not run here."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "VDIFF_EXECUTE": "false", "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_no_page_asks_the_network(site):
    for page in site.glob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert not [url for url in loaded if "canonical" not in url], page


@pytest.mark.parametrize("name", ["index", "mathematics", "likelihood", "tutorial"])
def test_a_browser_shows_the_page(site, name):
    """Opened where it lies: its style and pictures are found, no formula is left as LaTeX."""
    page = site / f"{name}.html"
    dom, said = opened(page, site)
    assert 'data-broken="0"' in dom
    assert "<title>error" not in dom, said
    assert "\\mathbb" not in re.sub(r"<(script|pre|code|annotation).*?</\1>", "", dom, flags=re.S)
    if name == "mathematics":
        assert dom.count("<math") >= 8
        assert 'id="vdiff.diffusion.elbo"' in dom
