"""Every figure of a results folder, drawn again from its tables."""

from pathlib import Path

from vdiff.errors import VdiffError
from vdiff.figures.animation import animate
from vdiff.figures.draw import draw
from vdiff.figures.registry import FIGURES
from vdiff.files.manifest import sha256
from vdiff.files.objects import read_json
from vdiff.machine.progress import bar
from vdiff.report.contents import read_config, tables


def redraw(folder: Path, into: Path) -> tuple[int, list[str]]:
    """Draw all figures of a results folder into the folder figures of another, or of its own;
    returns how many pictures are as the manifest has them, and which are not.

    PDFs are not compared: they have positions to ten decimals, the last of which are the
    processor's.

    Raises VdiffError when a table is not as the manifest has it.
    """
    config = read_config(folder)
    made = read_json(folder / "manifest.json").get("results", {})
    for table in tables(config):
        if table in made and sha256(folder / table) != made[table].get("sha256"):
            raise VdiffError(
                f"{folder / table} is not as manifest.json has it: it was changed, or comes from "
                "another run."
            )
    todo = [(figure, name) for figure in FIGURES.values() for name in figure.names(config)]
    same, others = 0, []
    with bar(len(todo), f"draw {folder}", unit="figure") as progress:
        for figure, name in todo:
            inputs = [folder / path for path in figure.inputs(config, name)]
            files = [f"figures/{figure.stem(name)}{ending}" for ending in figure.endings]
            paths = [into / file for file in files]
            if figure.moving:
                animate(inputs, paths)
            else:
                dark = [path for path in paths if path.stem.endswith("-dark")]
                light = [path for path in paths if path not in dark]
                draw(figure.name, inputs, light, dark, **figure.options(config, name))
            for file in files:
                if file.endswith(".pdf"):
                    continue
                if sha256(into / file) == made.get(file, {}).get("sha256"):
                    same += 1
                else:
                    others.append(file)
            progress.update()
    return same, others
