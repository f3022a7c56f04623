"""The whole pipeline, from wherever vdiff is installed."""

import getpass
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from vdiff.cli.group import main
from vdiff.config import preset_names, read_yaml
from vdiff.errors import VdiffError
from vdiff.files.pipeline import snakefile


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--preset", help="As `vdiff presets` lists them, or score; demo by default.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def run(preset: str | None, words: tuple[str, ...]) -> None:
    """Run the pipeline in this folder; results come into its folder results.

    WORDS are Snakemake's own targets and options in its own order, such as `--cores 2`, `--dry-run`
    or `--config KEY=VALUE ...`; all cores are used unless they say otherwise.
    """
    file = snakefile()
    if preset == SCORE:
        file, preset = file.with_name("workflow") / "score.smk", None
    if find_spec("snakemake") is None:
        raise VdiffError("snakemake is not installed; pip install snakemake.")
    _no_preset_is_a_target(words)
    for given in _config_files(words):
        read_yaml(given)  # refused here in one sentence
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(file)]
    command += _with_preset(preset, list(words))
    if not any(word.split("=")[0] in CORES or word.startswith("-c") for word in words):
        command += ["--cores", "all"]
    # The jobs call `python` and `jupyter`: those of this environment, activated or not.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.execve(sys.executable, command, {**os.environ, **_home(), "PATH": path})


def _no_preset_is_a_target(words: tuple[str, ...]) -> None:
    """Raise VdiffError where a preset's name stands where targets do."""
    for before, word in zip(("", *words), words, strict=False):
        target = not before.startswith("-") or before in ("-n", "--dry-run", "--")
        if target and word in (*preset_names(), SCORE) and not Path(word).exists():
            raise VdiffError(
                f"{word} is a preset, not a file to make; write vdiff run --preset {word}."
            )


SCORE = "score"
"""The preset that is a workflow of its own, whose keys are the options of `vdiff score`."""
CORES = ("--cores", "--jobs", "-j", "--profile", "--workflow-profile")
"""Options of Snakemake that say, or may say, how many cores it has."""


def _with_preset(preset: str | None, words: list[str]) -> list[str]:
    """Snakemake's words with the preset as a key of the configuration: beside other keys, for
    Snakemake takes the last --config alone."""
    if preset is None:
        return words
    key = f"preset={preset}"
    for k, word in reversed(list(enumerate(words))):
        if word == "--config":
            return [*words[: k + 1], key, *words[k + 1 :]]
        if word.startswith("--config="):
            return [*words[:k], "--config", key, word.removeprefix("--config="), *words[k + 1 :]]
    return ["--config", key, *(words if _starts_an_option(words) else ["--", *words])]


def _starts_an_option(words: list[str]) -> bool:
    """Whether the first word ends the keys before it, as an option does and a target does not."""
    return not words or words[0].startswith("-")


def _config_files(words: tuple[str, ...]) -> list[Path]:
    """The files behind --configfile and --configfiles."""
    found: list[Path] = []
    behind = False
    for word in words:
        if word.startswith("-"):
            name, _, value = word.partition("=")
            behind = name in ("--configfile", "--configfiles")
            found += [Path(value)] if behind and value else []
        elif behind:
            found.append(Path(word))
    return found


def _home() -> dict[str, str]:
    """What Snakemake needs of a user without a home or an entry in passwd, as in containers."""
    found = {}
    home = os.environ.get("HOME", "")
    if not home or not os.access(home, os.W_OK):
        found["HOME"] = tempfile.mkdtemp(prefix="vdiff-home-")
    try:
        getpass.getuser()
    except (KeyError, OSError):
        found["USER"] = f"user-{os.getuid()}"
    return found
