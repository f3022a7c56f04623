"""The whole pipeline, from wherever vdiff is installed."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from vdiff.cli.group import main
from vdiff.errors import VdiffError
from vdiff.files.pipeline import snakefile


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--preset", help="Which preset, as `vdiff presets` lists them; demo by default.")
@click.option("--config", multiple=True, metavar="KEY=VALUE", help="Other keys; may be repeated.")
@click.option("--cores", default="all", help="CPU cores to use.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def run(preset: str | None, config: tuple[str, ...], cores: str, words: tuple[str, ...]) -> None:
    """Run the pipeline in this folder; results come into its folder results.

    WORDS are Snakemake's own targets and options, such as `--dry-run`.
    """
    if find_spec("snakemake") is None:
        raise VdiffError("snakemake is not installed; pip install snakemake.")
    keys = [*([f"preset={preset}"] if preset else []), *config]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile())]
    command += ["--cores", cores, *words, *(["--config", *keys] if keys else [])]
    # The jobs call `python` and `jupyter`: those of this environment, activated or not.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.execve(sys.executable, command, {**os.environ, "PATH": path})
