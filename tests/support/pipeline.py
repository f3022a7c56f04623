"""Snakemake in a copy of the project."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from support.commands import OWNER, ROOT, SOCKETS, forked


def copy_project(folder: Path, own_code: bool = False) -> Path:
    """own_code: with a package of its own, to be changed; else that of this project runs."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")
    return copy_code(folder) if own_code else folder


def copy_code(folder: Path) -> Path:
    """With what Python has compiled of it, which is good where time stamps are the same, so that no
    copy compiles vdiff anew; but for what it is just writing."""
    shutil.copytree(ROOT / "vdiff", folder / "vdiff", ignore=shutil.ignore_patterns("*.pyc.*"))
    return folder


def environment(folder: Path) -> dict[str, str]:
    """With the modules of the folder or of this project first."""
    return {**os.environ, "PYTHONPATH": str(modules(folder))}


def modules(folder: Path) -> Path:
    """Where the package is that a copy of the project runs."""
    return folder if (folder / "vdiff").exists() else ROOT


def snakemake(folder: Path, *words: str, code: int = 0) -> str:
    """What it printed, both streams; the preset is smoke unless --config says otherwise. Jobs of
    this project's code are forks of the same servers in all tests."""
    words = ("--cores", "2", *words)
    words += ("--config", "preset=smoke") if "--config" not in words else ()
    process = started(folder, *words, stderr=subprocess.PIPE)
    output, errors = process.communicate()
    assert process.returncode == code, (output + errors)[-4000:]
    return output + errors


def started(folder: Path, *words: object, **given) -> subprocess.Popen[str]:
    """Snakemake in a folder, in a fork of a server that has it imported."""
    program = Path(__file__).with_name("snakemaker.py")
    kept = {"VDIFF_SERVERS": f"{SOCKETS}:{OWNER}", **environment(folder)}
    if modules(folder) == folder:
        del kept["PYTHONPATH"]  # which the fork sets: one server does for all such folders
    command = forked(program, modules(folder), *words)
    return subprocess.Popen(
        command, cwd=folder, env=kept, stdout=subprocess.PIPE, text=True, **given
    )


def planned(output: str) -> dict[str, str]:
    """Rules and numbers of jobs of a dry run."""
    table = re.search(r"job +count\n-+ +-+\n(.*?)\ntotal", output, re.S)
    return {} if table is None else dict(line.split() for line in table[1].splitlines())
