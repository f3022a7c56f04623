"""Snakemake in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.commands import ROOT, forked


def copy_project(folder: Path) -> Path:
    """With what Python has compiled of it, which is good where time stamps are the same, so that no
    copy compiles vdiff anew; but for what it is just writing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vdiff", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """With the copy's modules and this environment's commands first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PYTHONPATH": str(folder), "PATH": path}


def snakemake(folder: Path, *words: str, code: int = 0, of: Path | None = None) -> str:
    """What it printed, both streams; the preset is smoke unless --config says otherwise, and the
    modules are those of the folder, or of another."""
    words = ("--cores", "2", *words)
    words += ("--config", "preset=smoke") if "--config" not in words else ()
    command = forked(Path(__file__).with_name("snakemaker.py"), of or folder, *words)
    kept = environment(folder)
    del kept["PYTHONPATH"]  # which the fork sets: one server does for all folders
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)
    assert done.returncode == code, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def planned(output: str) -> dict[str, str]:
    """Rules and numbers of jobs of a dry run."""
    table = re.search(r"job +count\n-+ +-+\n(.*?)\ntotal", output, re.S)
    return {} if table is None else dict(line.split() for line in table[1].splitlines())
