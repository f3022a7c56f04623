"""Kept pictures show what the kept tables say (and test_numbers.py that documents say it)."""

import json

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
