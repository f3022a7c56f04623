"""Moving pictures: a frame a step, the states where they are, and no white strip on a dark page."""

import numpy as np
from PIL import Image

from vdiff.figures.animation import BAR, HOLD, SIDE, animate


def test_a_step_is_a_frame_and_the_ground_is_the_pages(tmp_path):
    frames = np.zeros((3, 8, 8), np.uint16)
    for k in range(3):
        frames[k, 0, 7 - k] = 5  # x small; y falls with the steps
    np.savez(tmp_path / "a.npz", lmbd=0.0, frames=frames, steps=[1, 5, 9])
    np.savez(tmp_path / "b.npz", lmbd=1.0, frames=frames, steps=[1, 5, 9])
    animate([tmp_path / "a.npz", tmp_path / "b.npz"], [tmp_path / "x.webp", tmp_path / "x.gif"])
    with Image.open(tmp_path / "x.webp") as webp, Image.open(tmp_path / "x.gif") as gif:
        assert 3 <= webp.n_frames <= 3 + HOLD  # a writer may join equal frames
        assert gif.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        for k in range(3):
            webp.seek(k)
            picture = np.asarray(webp.convert("RGBA"))
            assert picture[:BAR, :4, 3].max() == 0  # beside the title
            assert picture[BAR:, :SIDE, 3].min() == 255
            cell = SIDE // 8
            full = picture[BAR + k * cell + cell // 2, cell // 2]
            empty = picture[-cell // 2, SIDE - cell // 2]
            assert full[0] > full[2]  # red
            assert empty[2] > empty[0]  # blue
