"""The lock, environment.yml and pyproject.toml name the same versions."""

import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.pipeline import ROOT


def pins(lines):
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def test_environments_agree():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    lock = pins(line for line in lines if line and not line.startswith("#"))
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = pins(next(d for d in conda if isinstance(d, dict))["pip"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = pins(
        [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    )
    assert set(conda) == set(direct)
    for name, wanted in direct.items():
        assert str(conda[name].specifier) == str(lock[name].specifier), name
        version = str(lock[name].specifier).removeprefix("==")
        assert wanted.specifier.contains(version), name
    assert all(re.fullmatch(r"==[^=,*]+", str(r.specifier)) for r in lock.values())


def test_make_works_in_a_folder_with_a_space_a_quote_and_an_umlaut(tmp_path):
    """Its environment is this one, behind links; the command it finds is that of the folder."""
    folder = tmp_path / "it's für me"
    commands = folder / ".venv/bin"
    commands.mkdir(parents=True)
    for path in Path(sys.executable).parent.iterdir():
        (commands / path.name).symlink_to(path)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "docs").mkdir()
    (folder / ".venv/ready").touch()
    done = subprocess.run(["make", "pages"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = (folder / "docs/configuration.md").read_text()
    assert made == (ROOT / "docs/configuration.md").read_text()
