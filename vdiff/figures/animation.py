"""Moving pictures of sampling: lambda = 0 beside lambda = 1, or a grid of images."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vdiff.errors import VdiffError
from vdiff.figures.backend import mpl
from vdiff.figures.samples import tile
from vdiff.files.atomic import write_bytes
from vdiff.files.tidy import read_npz

FORMATS = {".gif": "GIF", ".webp": "WEBP"}
SIDE, BAR, GAP, HOLD = 256, 18, 4, 12  # pixels of a panel, its title, between; frames at the end
GREY = "#808080"  # of titles, to be seen on white pages and on black ones


def animate(inputs: Sequence[Path], out: Sequence[Path], fps: int = 12) -> None:
    """inputs: NPZ files of `vdiff trajectory` or of `vdiff sample`; one panel per input."""
    wrong = [path for path in out if path.suffix not in FORMATS]
    if wrong:
        raise VdiffError(f"{wrong[0]} ends in {wrong[0].suffix!r}; it must be .gif or .webp.")
    arrays = [read_npz(path, "frames", "steps") for path in inputs]
    for path, a in zip(inputs, arrays, strict=True):
        if len(a.get("frames", ())) == 0:
            raise VdiffError(f"{path} holds no frames; make it again with frames above 0.")
    panels = [_points(a) if "lmbd" in a else _images(a) for a in arrays]
    steps = arrays[0]["steps"]
    pictures = [
        _picture([panel[i] for panel in panels], [_title(a, int(step)) for a in arrays])
        for i, step in enumerate(steps)
    ]
    pictures += pictures[-1:] * HOLD
    for path in out:
        buffer = io.BytesIO()
        # GIF has no half transparent pixels, and is for documents, which are white.
        frames = [_on_white(p) for p in pictures] if path.suffix == ".gif" else pictures
        frames[0].save(
            buffer,
            FORMATS[path.suffix],
            save_all=True,
            append_images=frames[1:],
            duration=1000 // fps,
            loop=0,
        )
        write_bytes(path, buffer.getvalue())


def _points(a: dict) -> list[np.ndarray]:
    """Histograms in the colours of figure 5, each frame scaled to its own maximum."""
    colours = mpl.colormaps["jet"]
    return [colours(f.T[::-1] / max(f.max(), 1))[..., :3] for f in a["frames"].astype(float)]


def _images(a: dict) -> list[np.ndarray]:
    pictures = [tile(f, int(a["levels"])) for f in a["frames"]]
    return [p if p.ndim == 3 else np.repeat(p[..., None], 3, 2) for p in pictures]


def _title(a: dict, step: int) -> str:
    return f"λ = {float(a['lmbd']):g}, i = {step}" if "lmbd" in a else f"i = {step}"


def _on_white(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(ground, picture).convert("RGB")


def _picture(panels: list[np.ndarray], titles: list[str]) -> Image.Image:
    """On a transparent ground."""
    width = len(panels) * (SIDE + GAP) - GAP
    picture = Image.new("RGBA", (width, SIDE + BAR))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 12)
    for k, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        x = k * (SIDE + GAP)
        pixels = Image.fromarray((panel * 255).round().astype(np.uint8))
        picture.paste(pixels.resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, BAR))
        draw.text((x + SIDE // 2, BAR // 2), title, GREY, font, anchor="mm")
    return picture
