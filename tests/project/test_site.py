"""The documentation site: it builds without a warning and shows without the network."""

import re
import runpy
import shutil
import subprocess
import sys

import pytest
from support.browser import opened, violations
from support.pipeline import ROOT

pytest.importorskip("zensical", reason="needs the extra docs")
pytestmark = pytest.mark.slow


GONE = '<img src="../gone.png" alt="">'


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(folder, process): the project and its strict build, in which a broken link or anchor is an
    error; with one fault put in that is found at the end, in what was built."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("docs", "vdiff", "notebooks", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "results").mkdir()
    for name in ("zensical.toml", "README.md", "CHANGELOG.md", "results/README.md"):
        shutil.copy(ROOT / name, folder / name)
    page = folder / "docs" / "models" / "edm.md"
    own = page.read_text()
    page.write_text(f"{own}\n{GONE}\n")
    done = build(folder)
    page.write_text(own)
    return folder, done


def build(folder):
    command = [sys.executable, "docs/site.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(built):
    """The site without that fault."""
    folder, done = built
    page = folder / "site" / "models" / "edm.html"
    assert page.is_file(), done.stdout + done.stderr
    page.write_text(page.read_text().replace(GONE, ""))
    return folder / "site"


def test_a_picture_that_is_not_there_is_the_only_error(built, site):
    """Zensical's strict build lets it through. No page has an error of its own: without that
    picture nothing is missing, and after a warning the build would have said nothing else."""
    folder, done = built
    assert done.returncode == 1
    assert done.stderr == "models/edm.html refers to ../gone.png, which is not there.\n"
    assert runpy.run_path(str(folder / "docs" / "site.py"))["missing"]() == []


def test_a_broken_anchor_is_an_error(site, tmp_path):
    folder = shutil.copytree(site.parent, tmp_path / "project")
    page = folder / "docs" / "claims.md"
    page.write_text(page.read_text() + "\n[x](recipes.md#no-such-anchor)\n")
    done = build(folder)
    assert done.returncode == 1
    assert "anchor does not exist" in done.stderr


def test_formulas_have_their_letters_and_spaces_in_every_browser(site):
    """MathML Core knows no mathvariant but normal, and no spaces around what is no operator."""
    pages = "".join(page.read_text() for page in site.rglob("*.html"))
    assert set(re.findall(r'mathvariant="(.*?)"', pages)) <= {"normal"}
    formulas = "".join(re.findall(r"<math.*?</math>", pages, re.S))
    assert "<mi>\U0001d53c</mi>" in formulas and "<mi>\U0001d4a9</mi>" in formulas
    assert not re.search(r"<mi>([a-z]{2,}|\W)</mi>", formulas)
    assert re.search(r'<mo lspace="0.167em" rspace="0.167em">log</mo><mi>p</mi>', formulas)


def test_no_page_asks_the_network(site):
    for page in site.glob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert not [url for url in loaded if "canonical" not in url], page


@pytest.mark.parametrize("name", ["index", "python", "bound", "claims", "cloud"])
def test_axe_finds_nothing_wrong_with_a_page(site, tmp_path, name):
    assert violations(site / f"{name}.html", tmp_path) == []


def test_search_works_from_files(site):
    """A word typed into the theme's search, whose parts are in a shadow root."""
    search = """<script>
      const roots = () => [...document.querySelectorAll("*")].flatMap(e => e.shadowRoot ?? []);
      const all = what => roots().flatMap(root => [...root.querySelectorAll(what)]);
      addEventListener("load", () => {
        setTimeout(() => document.querySelector(".md-search__button").click(), 300);
        setTimeout(() => all("input[role=combobox]").forEach(input => {
          input.value = "Girsanov";
          input.dispatchEvent(new Event("input", {bubbles: true}));
        }), 800);
        setTimeout(() => document.body.dataset.found =
          all("[role=listbox] > *").map(found => found.textContent).join(), 4000);
      });</script></body>"""
    page = site / "searched.html"
    page.write_text((site / "index.html").read_text().replace("</body>", search))
    dom, said = opened(page, site)
    assert "The bound of every λ" in re.search(r'data-found="(.*?)"', dom, re.S)[1], said


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
