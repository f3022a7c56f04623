"""The values that a picture carries: those of its table, where its curves are drawn."""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from vdiff.figures import style
from vdiff.figures.draw import draw
from vdiff.figures.registry import VALUES
from vdiff.figures.values import MOST, values
from vdiff.resources import published_curves


def test_a_picture_has_its_curves_where_they_are(tmp_path):
    draw("published-curves", [], [tmp_path / "a.png", tmp_path / "a.pdf"])
    with Image.open(tmp_path / "a.png") as picture:
        found = json.loads(picture.info[VALUES])
        pixels = np.asarray(picture.convert("RGB")) / 255
    table = published_curves()
    for curve, debias in zip(found, (False, True), strict=True):
        assert curve["name"] == f"debias {debias}"
        assert (curve["x"], curve["y"]) == ("training iteration", "test bpd (bits/dim)")
        rows = table[table["debias"] == debias].set_index("iteration")["bpd"]
        for left, top, x, y in curve["points"]:
            near = rows.index[np.abs(rows.index - x).argmin()]
            assert abs(near - x) <= 5e-4 * x  # four digits
            assert abs(rows[near] - y) <= 5e-4 * y
            i, j = round(top * len(pixels)), round(left * pixels.shape[1])
            around = pixels[i - 5 : i + 6, j - 5 : j + 6].reshape(-1, 3)
            colour = to_rgb(style.PAPER[f"debias-{debias}"].color)
            assert np.abs(around - colour).max(1).min() < 0.15


def test_what_has_no_values_of_its_own_is_left_out():
    """A line across the panel, points outside it, a panel without units; long curves are thinned,
    and a row of panels shares the label of its first."""
    figure, (first, second, bare) = plt.subplots(1, 3)
    first.set(xlabel="time", ylabel="nats", xlim=(0, 10))
    first.plot(np.arange(1000.0), np.arange(1000.0), label="outside")
    first.axhline(3, label="level")
    second.set(xlabel="time")
    second.errorbar([1, 2], [3, np.nan], [1, 1], label="bars")
    second.plot(np.arange(999.0), np.arange(999.0), label="long")
    bare.plot([1], [2], label="bare")
    found = {curve["name"]: curve for curve in json.loads(values(figure))}
    plt.close(figure)
    assert set(found) == {"outside", "bars", "long"}
    assert [p[2] for p in found["outside"]["points"]] == list(range(11))
    assert [p[2:] for p in found["bars"]["points"]] == [[1, 3]]
    assert found["bars"]["y"] == "nats"
    assert MOST / 2 < len(found["long"]["points"]) <= MOST
