"""The interface for Python: the numbers of the tables, and its refusals."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from support.pipeline import ROOT

import vdiff
from vdiff.config import load_config
from vdiff.errors import VdiffError


def opened(finished, name):
    folder = finished[0] / "results" / "smoke" / "runs" / name
    return vdiff.load(folder), folder


@pytest.mark.parametrize("name", ["digits/debias-True/seed-0", "swissroll/debias-False/seed-0"])
def test_log_prob_is_what_the_tables_have(finished, name):
    """The bound within the errors of both, the likelihood of the ODE to 1e-6 bits/dim."""
    model, folder = opened(finished, name)
    e = load_config({"preset": "smoke"}).experiments[name.split("/")[0]]
    how, nats = e.evaluation, model.space.d * math.log(2)
    x = model.test_examples(how.images)
    found = model.fit().log_prob(x, draws=64)
    row = pd.read_csv(folder / "evaluation.csv").query("estimator == 'efficient'").iloc[-1]
    assert found.error.shape == found.value.shape == (len(x),)
    error = np.hypot(np.sqrt(np.square(found.error).sum()) / len(x) / nats, row["se_mc"])
    assert -found.value.mean() / nats == pytest.approx(row["bpd"], abs=4 * error)
    how = e.likelihood
    if how is None:
        return
    x = model.test_examples(how.images)
    found = model.log_prob(x, method="ode", tolerance=how.tolerance)
    row = pd.read_csv(folder / "likelihood.csv").iloc[-1]
    error = np.sqrt(np.square(found.error).sum()) / len(x) / nats
    assert found.bits_per_dim.mean() == pytest.approx(row["bpd_ode"], abs=4 * error + 1e-6)


def test_samples_are_like_the_data_and_the_same_again(finished):
    model, _ = opened(finished, "digits/debias-True/seed-0")
    x = model.sample(5, steps=3)
    assert x.dtype == torch.uint8
    assert x.shape == (5, 1, 8, 8)
    assert torch.equal(x[:2], model.sample(2, steps=3))
    points, _ = opened(finished, "swissroll/debias-False/seed-0")
    x = points.sample(7, steps=3, sampler="heun", lmbd=1.0, batch_size=4)
    assert x.shape == (7, 2)
    assert torch.allclose(x[:2], points.sample(2, steps=3, sampler="heun", lmbd=1.0), rtol=1e-5)
    assert points.log_prob(x).value.shape == (7,)  # in float64, as they come


@pytest.mark.slow
def test_the_lines_of_the_readme_run(finished, tmp_path, monkeypatch):
    """Each block of Python; the unet of diffusers is a small one that is not trained."""
    page = (ROOT / "README.md").read_text()
    diffusers, record, run = re.findall(r"```python\n(.*?)```", page, re.S)
    folder = finished[0] / "results" / "smoke"
    names = {}
    exec(run.replace("results/demo", str(folder)), names)
    assert names["images"].shape == (16, 1, 8, 8)
    assert len(names["found"].value) == 8
    exec(record, names)
    assert names["images"].shape == (4, 3, 32, 32)
    package = pytest.importorskip("diffusers", reason="the extra models is not installed")
    small = {"sample_size": 8, "block_out_channels": (8, 8), "norm_num_groups": 4}
    small |= {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    monkeypatch.chdir(tmp_path)
    package.UNet2DModel(**small).save_pretrained("mine/unet")
    names["images"] = torch.randint(256, (64, 3, 8, 8), dtype=torch.uint8)
    exec(diffusers.replace("DDPMScheduler())", "DDPMScheduler(), check=False)"), names)
    assert len(names["found"].bits_per_dim) == 64


def test_what_does_not_fit_is_one_sentence(finished):
    model, folder = opened(finished, "digits/debias-True/seed-0")
    x = model.test_examples(2)
    for wrong, words in (
        (x.float(), "it must be grey levels, integers"),
        (x[0], r"of shape \(N, 1, 8, 8\)"),
        (x[:0], "x is empty"),
        (x + 17, "has the grey level [123]"),
    ):
        with pytest.raises(VdiffError, match=words):
            model.log_prob(wrong)
    with pytest.raises(VdiffError, match="x is no array of numbers"):
        model.log_prob([[1, 2], [3]])
    points, of_points = opened(finished, "swissroll/debias-False/seed-0")
    with pytest.raises(VdiffError, match="x holds values that are not finite"):
        points.log_prob([[0.0, math.nan]])
    assert points.log_prob([[0.0, 1.0]]).value.shape == (1,)
    if not torch.cuda.is_available():
        with pytest.raises(VdiffError, match="torch sees no GPU"):
            vdiff.load(of_points, device="cuda")
    with pytest.raises(VdiffError, match="'exact'; it must be elbo, ode or vdm"):
        model.log_prob(x, method="exact")
    with pytest.raises(VdiffError, match="draws is 0; it must be a whole number of at least 2"):
        model.log_prob(x, draws=0)
    with pytest.raises(VdiffError, match="The sampler is 'ddim'"):
        model.sample(2, sampler="ddim")
    for name in (None, "", 3, folder / "nothing", folder.parent):
        with pytest.raises(VdiffError, match="must be a run's folder, a file of weights, or one"):
            vdiff.load(name)
    with pytest.raises(AttributeError, match="no attribute 'save'"):
        _ = vdiff.save
