import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from support.commands import prepare_environment
from support.pipeline import copy_project, snakemake

from vdiff.diffusion.sdes.vp import VPSDE

ROOT = Path(__file__).parents[1]
# Scripts of other processes.
collect_ignore = ["machine/accelerator", "support/snakemaker.py", "support/waiting.py"]
torch.set_num_threads(1)
prepare_environment()


def pytest_collection_modifyitems(items):
    """Folders of long files first, as a worker takes whole files and the last are to be short."""
    order = ["machine", "pipeline", "project", "scoring"]
    items.sort(key=lambda i: [i.path.parent.name != folder for folder in order])


@pytest.fixture
def sde():
    return VPSDE()


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def shared():
    """The folder of measured data beside the project, where there is one."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the shared data folder beside the project, which is absent")
    return folder


FAULTS = pytest.StashKey[list]()


@pytest.fixture
def fault(request):
    """fault(what, outcome): a line of the table that ends the run, once a test has passed it."""
    rows = request.config.stash.setdefault(FAULTS, [])
    return lambda what, outcome: rows.append((what, outcome))


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(FAULTS, [])
    if rows:
        terminalreporter.section("faults survived: the tables are byte-identical")
        for what, outcome in rows:
            terminalreporter.write_line(f"{what:<40} {outcome}")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """(folder, output) of a copy of the project after the smoke preset; made once, not changed.

    All workers of pytest-xdist share it; a test that changes something makes a copy of its own.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, said = shared / "finished", shared / "finished.txt"
    with FileLock(shared / "finished.lock"):
        if not said.exists():
            copy_project(folder)
            said.write_text(snakemake(folder))
    return folder, said.read_text()


@pytest.fixture
def finished_copy(finished, tmp_path):
    """A folder of one's own with all results of the smoke preset."""
    return Path(shutil.copytree(finished[0], tmp_path / "copy", symlinks=True))
