"""Drawing any figure of the registry to files."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from vdiff.errors import VdiffError
from vdiff.figures.registry import FIGURES

FORMATS = {".png", ".svg", ".pdf"}


def draw(
    figure: str, inputs: Sequence[Path], out: Sequence[Path], dark: Sequence[Path] = (), **options
) -> None:
    """Draw one figure and save it under every name in `out` (PNG, SVG or PDF); so too in `dark`,
    for dark pages. Raises VdiffError for other formats.
    """
    wrong = [path for path in (*out, *dark) if path.suffix not in FORMATS]
    if wrong:
        raise VdiffError(f"{wrong[0]} ends in {wrong[0].suffix!r}; it must be .png, .svg or .pdf.")
    from vdiff.figures import style

    module = import_module(f"vdiff.figures.{FIGURES[figure].module}")
    for paths, is_dark in ((out, False), (dark, True)):
        if paths:
            with style.paper(is_dark):
                style.save(module.draw(inputs, **options), paths)
