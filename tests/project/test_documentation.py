"""Pages that are made from the code are fresh, and links lead somewhere."""

import re

import pytest
from support.pipeline import ROOT

from vdiff.cli.reference import PAGES

MARKDOWN = [
    p
    for p in sorted(ROOT.rglob("*.md"))
    if not {".venv", ".snakemake", ".pytest_cache"} & set(p.relative_to(ROOT).parts)
]


def test_the_page_of_the_configuration_is_fresh():
    """If this fails: make pages."""
    assert (ROOT / "docs" / "configuration.md").read_text() == PAGES["configuration"]()


def test_the_columns_of_the_tables_are_fresh():
    """If this fails, put the output of `vdiff reference columns` into results/README.md."""
    assert PAGES["columns"]() in (ROOT / "results" / "README.md").read_text()


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_and_headings_lead_somewhere(page):
    text = page.read_text()
    targets = re.findall(r"\]\(([^)#:\s]*)(#[^)\s]+)?\)", text)
    targets += [(t, "") for t in re.findall(r'(?:src|srcset|href)="([^":#]+)"', text)]
    for path, anchor in targets:
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page} links to {path}"
        if anchor and target.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            slugs = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
            assert anchor[1:] in slugs, f"{page} links to {path}{anchor}"
