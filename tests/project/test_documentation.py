"""Pages that are made from the code are fresh, and links lead somewhere."""

import json
import re

import numpy as np
import pytest
import torch
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


def unlike_a_finding(script):
    """What CONTRIBUTING.md asks of a script in findings/ and this text has not."""
    asked = {
        "begins with a comment": script.startswith("#!/usr/bin/env bash\n# "),
        "stops at errors": "\nset -euo pipefail\n" in script,
        "installs in a temporary folder": 'folder="$(mktemp -d)"' in script
        and "trap 'rm -rf \"$folder\"' EXIT" in script,
        "takes PIP_ARGS": "${PIP_ARGS:-}" in script,
        "pins what it installs": re.search(r"^ +[\w.-]+(\[\w+\])?==[\d.]+", script, re.M),
        "does without vdiff": not re.search(r"(import|from|-m) vdiff", script),
        "says what was expected": "expected" in script,
        "fails if that changed": "no longer as described" in script,
    }
    return [words for words, there in asked.items() if not there]


def test_findings_have_their_form_and_their_line():
    """Each script once in the table; a script that lacks a part of the form is told so."""
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    page = (ROOT / "findings/README.md").read_text()
    assert sorted(re.findall(r"^\| \[([\w-]+)\]\(\1\.sh\) \|", page, re.M)) == [
        path.stem for path in scripts
    ]
    for path in scripts:
        assert unlike_a_finding(path.read_text()) == [], path
    loose = path.read_text().replace("==", ">=") + "\nfrom vdiff import wrap\n"
    assert unlike_a_finding(loose) == ["pins what it installs", "does without vdiff"]


def test_the_notebook_of_any_model_is_the_page():
    """If this fails: make notebooks. It was run, and tells of no machine."""
    text = (ROOT / "docs/any-model.md").read_text()
    notebook = json.loads((ROOT / "notebooks/any-model.ipynb").read_text())
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    blocks = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    assert ["".join(c["source"]).strip() for c in cells] == [b.strip() for b in blocks]
    assert all(c["execution_count"] for c in cells)
    said = json.dumps([c["outputs"] for c in cells])
    assert "bits/dim" in said
    assert "stderr" not in said
    assert str(ROOT) not in said


@pytest.mark.slow
def test_the_example_of_any_model_runs_as_it_stands(monkeypatch, tmp_path):
    """Its blocks in order: diffusers' own network on digits, wrapped, and what it says of them. A
    uniform law costs log2(17) = 4.09 bits/dim; a minute of training has to beat it clearly."""
    pytest.importorskip("diffusers", reason="the extra models is not installed")
    text = (ROOT / "docs/any-model.md").read_text()
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, found)
    bits, ode = found["bits"], found["flow"]
    assert 2 < bits.mean() < 3.5
    # Two models of one network, near each other.
    assert abs(ode.bits_per_dim.mean() - bits[:8].mean()) < 0.2 + 2 * ode.bits_error.mean()
    assert (found["grey"].bits_per_dim > 2).all()
    # At most what steps cost where nothing but noise is left, (r - 1 - log r) / 2 nats for each.
    r = found["nsr"][1:] / found["nsr"][:-1]
    most = float(((r - 1 - r.log()) / 2).sum()) / np.log(2)
    assert 0 < float(found["ddpm"].mean()) - bits[:64].mean() < most
    assert found["samples"].shape == (16, 1, 8, 8)
    assert (tmp_path / "any-model.png").stat().st_size > 3000


@pytest.mark.slow
def test_the_examples_of_latents_and_classes_run_as_they_stand(monkeypatch, tmp_path):
    """Two moons are told apart; most coordinates of gradients are told from 0; of digits, the bound
    through an autoencoder beats a uniform law (4.09 bits/dim), and log p(z) is of 32 numbers."""
    pytest.importorskip("diffusers", reason="the extra models is not installed")
    text = (ROOT / "docs/latents-and-classes.md").read_text()
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, found)
    assert found["right"].mean() > 0.9
    assert abs(found["alone"].value.mean() - found["found"].marginal.value.mean()) < 0.5
    assert (np.abs(found["slope"].value) > 1.96 * found["slope"].error).mean() > 0.5
    assert 1 < found["images"].bits_per_dim.mean() < 3.5 and found["images"].d == 64
    assert found["means"].space.d_x == 32


@pytest.mark.slow
def test_the_example_of_likelihoods_that_papers_report_runs_as_it_stands():
    """Of a network that knows no levels the uniform dequantisation costs least; and a chain whose
    xhat is not drawn in costs more than VDM's to the same noise by what its steps do, at most."""
    text = (ROOT / "docs/likelihood.md").read_text()
    found: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, found)
    bits = {name: of.bits_per_dim.mean() for name, of in found["reported"].items()}
    others = bits["bound, truncated normal"], bits["VDM"]
    assert bits["bound, uniform dequantisation"] < min(others)
    plain, vdm = found["unclipped"], found["lower"]
    error = np.hypot(plain.bits_error, vdm.bits_error).mean() / len(plain) ** 0.5
    sde = found["sde"]
    r = sde.log_nsr(torch.arange(1, 1001, dtype=torch.float64) / 1000).diff().exp()
    most = float(((r - 1 - r.log()) / 2).sum()) / np.log(2)
    assert -4 * error < (plain.bits_per_dim - vdm.bits_per_dim).mean() < most + 4 * error
    assert plain.bits_per_dim.mean() > bits["DDPM, variance beta~"] + 4 * error
