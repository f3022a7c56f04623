import sys
from pathlib import Path

import pytest
import torch

from vdiff.sde import VPSDE

ROOT = Path(__file__).parents[1]
torch.set_num_threads(1)
sys.path.append(str(ROOT / "benchmarks"))  # for the plain network of the published recipe


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
