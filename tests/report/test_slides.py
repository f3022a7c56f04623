"""The strips of the λ slider: what is stored, small, the right way up."""

import io

import numpy as np
from PIL import Image

from vdiff.report.slides import COLUMNS, SIDE, strips


def stored(path, lmbd, bins=128, frames=20):
    counts = np.zeros((frames, bins, bins), np.uint16)
    counts[:, bins // 2, bins // 2] = 8
    counts[-1, 3, bins - 5] = 16  # x small, y large: on the left, at the top
    np.savez(path, lmbd=lmbd, extent=4.0, frames=counts)
    return path


def test_strips_are_in_the_order_of_lambda_and_as_figure_5_has_them(tmp_path):
    paths = [stored(tmp_path / f"{k}.npz", lmbd) for k, lmbd in enumerate((1, -10, 0.5))]
    found = strips([*paths, tmp_path / "missing.npz"])
    assert [lmbd for lmbd, _ in found] == ["-10", "0.5", "1"]
    picture = np.array(Image.open(io.BytesIO(found[0][1])))
    assert picture.shape == (SIDE, COLUMNS * SIDE)
    last = picture[:, -SIDE:]
    y, x = np.unravel_index(last.argmax(), last.shape)
    assert (y, x) == (2, 1)
    assert last.max() == 255
    assert last[SIDE // 2 - 1, SIDE // 2] == 128  # 8 of 16 counts; of its own maximum
    assert picture[:, :SIDE].max() == 255
