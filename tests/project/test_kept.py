"""Kept pictures show what the kept tables say (and test_numbers.py that documents say it)."""

import json
import runpy

import pytest
import torch
from PIL import Image
from support.pipeline import ROOT

from vdiff.figures.draw import draw
from vdiff.figures.registry import VALUES

REFERENCE = ROOT / "results" / "reference"


def test_the_picture_of_the_readme_has_the_kept_curves(tmp_path):
    """If this fails: vdiff plot headline results/reference/laptop/curves.csv
    --out docs/headline.png --dark docs/headline-dark.png. A PNG tells its curves in its text."""
    again = tmp_path / "again.png"
    draw("headline", [REFERENCE / "laptop" / "curves.csv"], [again])
    said = [Image.open(path).info[VALUES] for path in (again, ROOT / "docs/headline.png")]
    assert json.loads(said[0]) == json.loads(said[1])


def test_the_drawing_of_the_bound_is_fresh_and_true(tmp_path):
    """If this fails: python docs/drawing.py. The bound is below the log-likelihood, touches it at
    the true drift alone, and falls from there by half the drift's squared error."""
    drawing = runpy.run_path(str(ROOT / "docs/drawing.py"))
    s, sde, v = drawing["TIMES"], drawing["SDE"], drawing["V"]
    D = sde.m(s).square() * v + sde.var(s)
    top, at_top = drawing["likelihood"](1.0)
    assert top == pytest.approx(at_top, abs=1e-5)
    for c in (0.5, 0.9, 1.1, 1.5):
        exact, bound = drawing["likelihood"](c)
        error = (1 - c) ** 2 / 2 * torch.trapezoid(sde.g2(s) / D, s).item()
        assert bound == pytest.approx(at_top - error, abs=1e-5)
        assert bound + 0.01 < exact < top
    drawing["draw"](False, tmp_path / "again.png")
    said = [Image.open(p).info[VALUES] for p in (tmp_path / "again.png", ROOT / "docs/drawing.png")]
    assert said[0] == said[1]
