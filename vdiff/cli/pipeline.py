"""The whole pipeline, from wherever vdiff is installed."""

import getpass
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import click

from vdiff.cli.group import main
from vdiff.config import preset_names, read_yaml
from vdiff.errors import VdiffError
from vdiff.files.pipeline import snakefile
from vdiff.machine.progress import bar


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--preset", help="As `vdiff presets` lists them, or score; demo by default.")
@click.option("--brief", is_flag=True, help="Show one bar; Snakemake's messages go to a file.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def run(preset: str | None, brief: bool, words: tuple[str, ...]) -> None:
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
    environment = {**os.environ, **_home(), "PATH": path}
    if brief:
        sys.exit(_briefly(command, environment))
    os.execve(sys.executable, command, environment)


STEPS = re.compile(r"^(?:total +|(\d+) of )(\d+)(?: steps .*)?$", re.MULTILINE)
SAID = re.compile(r"^(?:Done: |Nothing to be done).*", re.MULTILINE)
WRONG = re.compile(r"^(?:Error in |\w*(?:Error|Exception)\b)", re.MULTILINE)


def _briefly(command: list[str], environment: dict[str, str]) -> int:
    """Run Snakemake under one bar of its steps; its exit status. All messages go to a file, and are
    shown from the first error on, or else their last lines, where it fails."""
    file = Path(".snakemake/log") / f"vdiff-{datetime.now(UTC):%Y-%m-%dT%H%M%S.%f}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    click.echo(f"Messages go to {file}.", err=True)
    with file.open("w") as out, file.open(errors="replace") as messages:
        job = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        # A terminal interrupts both. Snakemake ends in its own time and is waited for.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: job.terminate())
        done, rest, ended = 0, "", False
        with bar(0, "vdiff run", unit="step") as progress:
            while not ended:
                ended = job.poll() is not None  # then there is once more something to read
                lines, end, rest = (rest + messages.read()).rpartition("\n")
                for now, total in STEPS.findall(lines + end):
                    progress.total = int(total)
                    progress.update(int(now or 0) - done)
                    done = int(now or 0)
                time.sleep(0 if ended else 0.3)
    text = file.read_text(errors="replace")
    if not job.returncode:
        for said in SAID.findall(text):
            click.echo(said, err=True)
        return 0
    first = WRONG.search(text)
    shown = text[first.start() :] if first else "\n".join(text.splitlines()[-20:])
    click.echo(f"{shown.rstrip()}\nSnakemake failed; all its messages are in {file}.", err=True)
    return job.returncode if job.returncode > 0 else 128 - job.returncode


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


def _config_files(words: tuple[str, ...]) -> Iterator[Path]:
    """The files behind --configfile and --configfiles."""
    behind = False
    for word in words:
        if word.startswith("-"):
            name, _, value = word.partition("=")
            behind = name in ("--configfile", "--configfiles")
            if behind and value:
                yield Path(value)
        elif behind:
            yield Path(word)


def _home() -> dict[str, str]:
    """What Snakemake needs of a user without a home or an entry in passwd, as in containers."""
    env = {}
    home = os.environ.get("HOME", "")
    if not home or not os.access(home, os.W_OK):
        env["HOME"] = tempfile.mkdtemp(prefix="vdiff-home-")
    try:
        getpass.getuser()
    except (KeyError, OSError):
        env["USER"] = f"user-{os.getuid()}"
    return env
