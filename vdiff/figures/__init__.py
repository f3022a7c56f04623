"""Figures from tidy tables and arrays; nothing here imports torch."""

from collections.abc import Sequence
from pathlib import Path

from vdiff.errors import VdiffError

FORMATS = {".png", ".svg", ".pdf"}


def draw(figure: str, inputs: Sequence[Path], out: Sequence[Path], **options) -> None:
    """Draw one figure and save it under every name in `out` (PNG, SVG or PDF)."""
    from importlib import import_module

    wrong = [path for path in out if path.suffix not in FORMATS]
    if wrong:
        raise VdiffError(f"{wrong[0]} ends in {wrong[0].suffix!r}; it must be .png, .svg or .pdf.")
    from vdiff.figures import style

    module = import_module(f"vdiff.figures.{figure.replace('-', '_')}")
    with style.paper():
        style.save(module.draw(inputs, **options), out)
