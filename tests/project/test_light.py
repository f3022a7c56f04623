"""What runs where only torch, numpy, scipy, click and safetensors are installed, with what these
need themselves: `vdiff.wrap` and its models, `vdiff score`, and the weights that come with vdiff.

Each runs in a process whose first finder of modules refuses those of every other distribution.
"""

import json
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from io import StringIO

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.pipeline import ROOT

from vdiff import pretrained
from vdiff.cli import main
from vdiff.config import Network
from vdiff.files.tidy import read_csv, write_csv
from vdiff.pretrained import names

pytestmark = pytest.mark.slow

LIGHT = {"torch", "numpy", "scipy", "click", "safetensors"}
REFUSE = """
import json, sys
from importlib.abc import MetaPathFinder

class Finder(MetaPathFinder):
    refused = set(json.loads(sys.argv.pop(1)))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Finder())
"""
NETWORK = """
import torch
import vdiff

def make():
    return vdiff.wrap(
        lambda y, s: -y / ((1 - s) ** 2 / 4 + s**2).reshape(-1, 1),
        schedule="flow", predicts="score", data=(2,),
    )
"""
"""The exact score of N(0, 1/4)."""


def installed_with(own):
    """Distributions with all that they require, here."""
    found, waiting = set(), list(own)
    while waiting:
        name = canonicalize_name(waiting.pop())
        try:
            wanted = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:  # for other platforms
            continue
        if name not in found:
            found.add(name)
            waiting += [r.name for r in wanted if not r.marker or r.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def refused():
    """Modules that only other distributions have."""
    light = installed_with(LIGHT) | {"vdiff"}
    return sorted(
        module
        for module, owners in packages_distributions().items()
        if not light & {canonicalize_name(owner) for owner in owners}
    )


@pytest.fixture
def lightly(refused, tmp_path):
    """Runs code in a light installation, in a folder of its own; its output and errors."""

    def run(code, *words, code_is=0):
        done = subprocess.run(
            [sys.executable, "-c", REFUSE + code, json.dumps(refused), *words],
            cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == code_is, done.stderr
        return done.stdout, done.stderr

    run.folder = tmp_path
    return run


def test_the_finder_bites(refused, lightly):
    wanted = {"pydantic", "yaml", "pandas", "PIL", "tqdm", "torchdiffeq", "snakemake", "sklearn"}
    assert wanted | {"arviz_stats", "matplotlib", "torchvision"} <= set(refused)
    said = lightly("import yaml", code_is=1)[1]
    assert said.splitlines()[-1] == "ModuleNotFoundError: No module named 'yaml'"
    code = "import vdiff\nvdiff.load('no-such-run')"
    assert "VdiffError" in lightly(code, code_is=1)[1]


def test_a_wrapped_network_is_fitted_asked_and_diagnosed(lightly):
    """What it lacks is named in one sentence, and a tail that nothing fits is not judged."""
    code = NETWORK + (
        "from vdiff.errors import VdiffError\n"
        "model = make()\n"
        "x = 0.5 * torch.randn(256, 2, generator=torch.Generator().manual_seed(0))\n"
        "found = model.fit(x).log_prob(x, progress=True)\n"
        "by_ode = model.log_prob(x[:4], method='ode')\n"
        "torch.save([x, *map(torch.tensor, (found.value, found.error, by_ode.value))], 'found')\n"
        "said = model.diagnose(x)\n"
        "print(found, said, tuple(model.sample(3, steps=4).shape), sep='\\n')\n"
        "for lacking in (found.to_pandas, said.to_pandas, said.plot,\n"
        "                lambda: model.sample(3, sampler='adaptive', lmbd=1)):\n"
        "    try:\n"
        "        lacking()\n"
        "    except VdiffError as error:\n"
        "        print(error)\n"
    )
    out, _ = lightly(code)
    lines = out.splitlines()
    assert "errors cannot be told" in lines[0]
    assert lines[1] == "Nothing was found that speaks against what the network is."
    assert lines[2:] == ["(3, 2)"] + [
        f"This needs the package {name}, which is not installed; pip install {name}."
        for name in ("pandas", "pandas", "matplotlib", "torchdiffeq")
    ]
    x, value, error, by_ode = torch.load(lightly.folder / "found")
    truth = torch.distributions.Normal(0, 0.5).log_prob(x.double()).sum(1)
    assert ((value - truth).abs() <= 5 * error + 1e-3).all()
    torch.testing.assert_close(by_ode, truth[:4], atol=5e-3, rtol=0)


def test_the_weights_that_come_with_vdiff_say_what_they_say_elsewhere(lightly):
    """The digits' network has a part that is made from the counts of grey levels. Weights of one's
    own need pydantic, which checks them."""
    code = (
        "import sys, torch, vdiff\n"
        "points, digits = map(vdiff.load, ('swissroll-demo', 'digits-demo'))\n"
        "y = torch.linspace(-2, 2, 64).reshape(1, 1, 8, 8)\n"
        "print(points.log_prob(torch.ones(2, 2), draws=2).value.tolist())\n"
        "print(digits.score(y, torch.tensor([0.1])).flatten().tolist())\n"
    )
    shutil.copy(names()["digits-demo"], lightly.folder / "own.safetensors")
    out, said = lightly(code + "vdiff.load('own.safetensors')\n", code_is=1)
    whole = StringIO()
    with redirect_stdout(whole):
        exec(code, {})
    assert pretrained.LATER.items() <= Network().model_dump().items()
    for light, full in zip(out.splitlines(), whole.getvalue().splitlines(), strict=True):
        np.testing.assert_allclose(json.loads(light), json.loads(full), rtol=1e-5)
    assert said.splitlines()[-1].endswith(
        "This needs the package pydantic, which is not installed; pip install pydantic."
    )


def test_the_command_scores_to_the_bytes_of_a_whole_installation(lightly, monkeypatch):
    """And says in one sentence what another command or option needs."""
    folder = lightly.folder
    (folder / "m.py").write_text(NETWORK)
    np.savez(folder / "x.npz", x=np.random.default_rng(0).normal(size=(5, 2)) / 2)
    (folder / "images").mkdir()
    (folder / "images/a.png").touch()
    own = ["score", "--model", "m.py:make", "--draws", "4", "--data"]
    asked = {
        "vdiff train is not here. This needs the package pydantic, ": ["train", "--out", "x"],
        "m.py:make: 5 examples": [*own, "x.npz", "--out", "light.csv"],
        "This needs the package pydantic, ": ["score", "--config", "x.yaml"],
        "This needs the package scikit-learn, ": [
            *own, "x.npz", "--against", "x.npz", "--out", "a.csv",
        ],
        "This needs the package pillow, ": [*own, "images", "--out", "a.csv"],
    }  # fmt: skip
    code = (
        "import json, sys\n"
        "from click.testing import CliRunner\n"
        "from vdiff.cli import main\n"
        "found = [CliRunner().invoke(main, words) for words in json.loads(sys.argv[1])]\n"
        "print(json.dumps([[one.exit_code, one.output] for one in found]))\n"
    )
    found = json.loads(lightly(code, json.dumps(list(asked.values())))[0])
    for words, (exit_code, said) in zip(asked, found, strict=True):
        assert words in said and exit_code == ("package" in words), said
        assert "Traceback" not in said
    monkeypatch.chdir(folder)
    whole = CliRunner().invoke(main, [*own, "x.npz", "--out", "whole.csv"])
    assert whole.exit_code == 0, whole.output
    assert (folder / "light.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    write_csv(folder / "again.csv", read_csv(folder / "whole.csv", "scores"), "scores")
    assert (folder / "again.csv").read_bytes() == (folder / "whole.csv").read_bytes()
