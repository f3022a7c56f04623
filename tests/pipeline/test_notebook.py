"""The tutorial runs from top to bottom and says what it should."""

import re

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from support.pipeline import ROOT

NATS = r"(-?[0-9.]+) ± ([0-9.]+) nats"


@pytest.mark.slow
def test_the_tutorial_runs_and_says_the_papers_point():
    """Training raises the bound of both arms, two estimators agree on it, and uniform times miss
    more of its gradient than debiased ones, the more so at the end."""
    notebook = nbformat.read(ROOT / "notebooks" / "swissroll.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300).execute(cwd=ROOT / "notebooks")
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    said = "".join(o.get("text", "") for o in outputs)
    line = rf"^([\w ]+): +{NATS} \(paper\), +{NATS} \(efficient\)$"
    bounds = {arm: [float(v) for v in rest] for arm, *rest in re.findall(line, said, re.M)}
    assert set(bounds) == {"untrained", "debias True", "debias False"}
    for arm, (paper, paper_error, efficient, error) in bounds.items():
        assert abs(paper - efficient) < 4 * np.hypot(paper_error, error) + 0.02, arm
        assert error < paper_error
        assert arm == "untrained" or efficient > bounds["untrained"][2] + 2
    line = r"^([\w ]+), debias (\w+): (-?[0-9.]+)% ± ([0-9.]+)% goes elsewhere$"
    found = {(when, arm): (float(v), float(e)) for when, arm, v, e in re.findall(line, said, re.M)}
    for when in ("half way", "end"):
        (share, error), (other, its) = found[when, "False"], found[when, "True"]
        assert share > 4 * error and abs(other) < 4 * its + 0.5
        assert share > other + 2 * np.hypot(error, its)
    assert found["end", "False"][0] > found["half way", "False"][0]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 6
