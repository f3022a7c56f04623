"""The probability of grey levels by weights whose mean it is."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from support.oracles import gaussian_drift
from support.pipeline import ROOT

from vdiff.cli import main
from vdiff.diffusion.bits import dequantise, to_real
from vdiff.diffusion.denoise import Step, xhat
from vdiff.diffusion.discrete import log_mean_exp, log_weight
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.tensors import expand_like
from vdiff.files.tidy import read_csv

LAYERS, LEVELS = 16, 4


@pytest.fixture
def wrong(sde):
    """A linear drift that is exact for no data: that of N(0, 0.1) and a constant."""
    exact = gaussian_drift(sde, 0.1)
    return lambda y, s: exact(y, s) + 0.1 * expand_like(sde.g(s), y)


def normal_noise(rng):
    return lambda x: torch.randn(x.shape, generator=rng, dtype=x.dtype)


def gaussian_chain(sde, a, times):
    """(mean, variance) of x under the decoder of a linear drift, layer by layer from the prior."""
    reverse = Reverse(sde, a, 0.0)
    mean, var = 0.0, sde.prior_sd**2
    y = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    for high, low in pairwise(times):
        x0 = xhat(reverse, y, high.expand(2))
        if low > 0:
            step = Step.between(reverse, high, low)
            out, sd = step.move(y, x0, None), step.sd
        else:
            out, sd = x0, float(sde.log_nsr(high).exp().sqrt())
        shift, slope = float(out[0, 0]), float(out[1, 0] - out[0, 0])
        mean, var = shift + slope * mean, slope**2 * var + sd**2
    return mean, var


def cell_weights(sde, a, times, level, n, rng):
    """n log weights of one pixel's grey level, in nats; x = 2 (k + u) / levels - 1."""
    u = torch.rand(n, 1, generator=rng, dtype=torch.float64)
    x, log_det = to_real(dequantise(torch.full((n, 1), level), u, LEVELS), real=False)
    return log_weight(sde, a, x, times, normal_noise(rng)) + log_det - math.log(LEVELS)


def level_probability(mean, var, level):
    edges = torch.tensor([level, level + 1], dtype=torch.float64) * 2 / LEVELS - 1
    return float(torch.special.ndtr((edges - mean) / var**0.5).diff())


@pytest.mark.parametrize("grid", ["log_snr", "uniform"])
def test_the_probabilities_of_all_levels_add_up_to_1(sde, wrong, grid, rng):
    """A pixel of 4 levels, 16 layers: each mean weight is the mass that the chain of Gaussians has
    in its cell, and they add up to 1. An error of 0.02 would be found with 80% power."""
    times, n = grid_of(grid, sde, LAYERS), 200_000
    mean, var = gaussian_chain(sde, wrong, times)
    total = variance = 0.0
    for level in range(LEVELS):
        w = cell_weights(sde, wrong, times, level, n, rng).exp()
        error = float(w.std() / n**0.5)
        assert abs(float(w.mean()) - level_probability(mean, var, level)) < 4.5 * error, level
        total, variance = total + float(w.mean()), variance + error**2
    outside = 1 - sum(level_probability(mean, var, level) for level in range(LEVELS))
    assert 2.8 * variance**0.5 < 0.02
    assert abs(total + outside - 1) < 4 * variance**0.5


def test_the_bound_rises_with_the_draws_to_the_probability(sde, wrong, rng):
    times, level, n = grid_of("log_snr", sde, LAYERS), 1, 64_000
    exact = math.log(level_probability(*gaussian_chain(sde, wrong, times), level))
    log_w = cell_weights(sde, wrong, times, level, n, rng)[:, None]
    below = []
    for k in (1, 4, 16, 64):
        bound = log_mean_exp(log_w, k)
        error = float(bound.std() / len(bound) ** 0.5)
        assert float(bound.mean()) < exact + 4 * error
        below.append(exact - float(bound.mean()))
    assert below[0] > 2 * below[1] > 4 * below[2] > 0
    # About Var(w) / (2 k p^2), by the second order of the logarithm.
    w = log_w.exp() / math.exp(exact)
    assert below[3] == pytest.approx(float(w.var()) / 128, rel=0.5, abs=3 * error)


def test_at_the_true_drift_the_weights_tend_to_the_density(sde, rng):
    """Data N(0, 0.05), 2 dimensions: log w has sqrt(2) less noise with twice the layers."""
    v, n = 0.05, 2000
    x = v**0.5 * torch.randn(n, 2, generator=rng, dtype=torch.float64)
    log_q = -(x.square() / v + math.log(2 * math.pi * v)).sum(1) / 2
    a, sds = gaussian_drift(sde, v), []
    for L in (200, 400, 800):
        off = log_weight(sde, a, x, grid_of("log_snr", sde, L), normal_noise(rng)) - log_q
        sds.append(float(off.std()))
        assert abs(float(off.mean())) < 4 * sds[-1] / n**0.5 + sds[-1] ** 2
    slope = np.polyfit(np.log([200, 400, 800]), np.log(sds), 1)[0]
    assert abs(slope + 0.5) < 0.1


def test_the_command_of_the_docs_runs(finished):
    """On the smoke preset, with fewer draws and layers."""
    page = (ROOT / "docs" / "likelihood.md").read_text()
    command = re.search(r"^vdiff (discrete .*?)\n```", page, re.S | re.M)[1].replace("\\\n", " ")
    folder = finished[0] / "results" / "smoke"
    words = command.replace("results/demo", str(folder)).replace("1,8,64", "1,2").split()
    out = finished[0] / "discrete.csv"
    words = [str(out) if word == "discrete.csv" else word for word in words]
    done = CliRunner().invoke(main, [*words, "--images=4", "--layers=4"])
    assert done.exit_code == 0, done.output
    table = read_csv(out, "discrete")
    of_pipeline = read_csv(folder / "runs/digits/debias-True/seed-0/discrete.csv", "discrete")
    assert table["bpd"].tolist() == of_pipeline["bpd"].tolist()
    assert table["gain"][0] == 0


def test_groups_of_draws(rng):
    log_w = torch.randn(7, 3, generator=rng, dtype=torch.float64)
    found = log_mean_exp(log_w, 3)
    assert found.shape == (2, 3)
    torch.testing.assert_close(found[1], log_w[3:6].exp().mean(0).log())
    torch.testing.assert_close(log_mean_exp(log_w, 1), log_w)
