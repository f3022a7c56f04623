"""pyproject.toml, CITATION.cff, codemeta.json, the package and the changelog say the same."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from support.pipeline import ROOT

import vdiff

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CODEMETA = json.loads((ROOT / "codemeta.json").read_text())


def test_one_name_version_licence_and_description():
    assert CITATION["version"] == CODEMETA["version"] == vdiff.__version__
    assert CODEMETA["name"] == PROJECT["name"] == CITATION["title"].split(":")[0]
    assert CODEMETA["license"].removeprefix("https://spdx.org/licenses/") == CITATION["license"]
    assert CITATION["license"] == PROJECT["license"]
    assert CODEMETA["description"] == PROJECT["description"]
    assert CITATION["title"].endswith(PROJECT["description"].removeprefix("The "))
    assert CODEMETA["runtimePlatform"] == f"Python {PROJECT['requires-python']}"


def test_one_list_of_authors_words_and_one_paper():
    authors = [author["name"] for author in CITATION["authors"]]
    assert [author["name"] for author in CODEMETA["author"]] == authors
    assert CODEMETA["keywords"] == CITATION["keywords"]
    (paper,) = CITATION["references"]
    assert CODEMETA["referencePublication"]["@id"] == paper["url"]
    assert CODEMETA["referencePublication"]["name"] == paper["title"]
    names = {Requirement(word).name for word in PROJECT["dependencies"]}
    assert set(CODEMETA["softwareRequirements"]) <= names


def test_the_changelog_has_the_version():
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heads[0] == "Unreleased"
    assert heads[1].split(" ")[0] == vdiff.__version__


def test_the_container_file_and_the_workflow_lint():
    """By hadolint, where it is installed; every file that they name exists."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.M):
        assert all((ROOT / name).exists() for name in line.split()), line
    recipe = (ROOT / "apptainer.def").read_text()
    for name in re.findall(r"^    (\S+) /opt/vdiff/\S+$", recipe, re.M):
        assert (ROOT / name).exists(), name
    for path in (ROOT / ".github").rglob("*.yml"):
        assert yaml.safe_load(path.read_text()), path
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    called = re.findall(r"run: make ([a-z-]+)", (ROOT / ".github/workflows/ci.yml").read_text())
    assert called and set(called) <= targets
    if shutil.which("hadolint") is None:
        pytest.skip("needs hadolint, which is not installed")
    subprocess.run(["hadolint", ROOT / "Dockerfile"], check=True)
