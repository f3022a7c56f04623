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
