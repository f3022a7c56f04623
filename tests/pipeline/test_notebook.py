"""The tutorial runs from top to bottom and says what it should."""

import re

import nbformat
import pytest
from nbclient import NotebookClient
from support.pipeline import ROOT


@pytest.mark.slow
def test_the_tutorial_runs_and_training_raises_the_elbo():
    notebook = nbformat.read(ROOT / "notebooks" / "swissroll.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300).execute(cwd=ROOT / "notebooks")
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    said = "".join(o.get("text", "") for o in outputs)
    bounds = dict(re.findall(r"(untrained|trained): +(-?[0-9.]+) ±", said))
    assert float(bounds["trained"]) > float(bounds["untrained"]) + 2
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 5
