"""Samplers: exact moments on Gaussian data, orders of convergence, batching, bad input."""

from typing import get_args

import numpy as np
import pytest
import torch
from scipy.stats import norm
from support.models import digits_model
from support.oracles import gaussian_drift

from vdiff.config import Sampling
from vdiff.config.fields import ODE_SAMPLERS, Grid, Sampler
from vdiff.diffusion.denoise import Step
from vdiff.diffusion.grids import GRIDS, grid_of
from vdiff.diffusion.predictions import drift_of
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.samplers import SAMPLERS, sampler_of
from vdiff.diffusion.stepping import noise_of
from vdiff.errors import VdiffError
from vdiff.machine.seeds import normal_streams
from vdiff.steps.sample import sample_images

LMBDS = [-10, -0.99, -0.9, -0.5, 0, 0.5, 0.9, 0.99, 1]
ODES = ODE_SAMPLERS
CASES = [(n, v) for n in SAMPLERS for v in (-0.9, 0, 0.5, 1) if v == 1 or n not in ODES]


def variance_error(sde, name, lmbd, steps, variance=0.3, end=0.05):
    """|Var X - Var Y_end| without sampling noise, for Gaussian data.

    The exact drift is linear, so X is a sum of independent responses: to the start (row 0) and to
    the noise of each step alone (rows 1..N). Their squares add up to the variance.
    """
    times = torch.linspace(sde.T, end, steps + 1, dtype=torch.float64)
    target = sde.m(times).square() * variance + sde.var(times)
    x = torch.zeros(1 if lmbd == 1 else steps + 1, 1, dtype=torch.float64)
    x[0] = target[0].sqrt()
    calls = iter(range(1, steps + 1))

    def noise(x):
        z = torch.zeros_like(x)
        z[next(calls)] = 1
        return z

    x = sampler_of(name)(Reverse(sde, gaussian_drift(sde, variance), lmbd), x, times, noise)
    return abs(x.square().sum() - target[-1]).item()


ORDER = {"euler_maruyama": 1, "exponential": 1, "multistep": 2, "heun": 2, "stochastic_heun": 2}


def test_every_sampler_states_its_order():
    """The adaptive solver has none: its steps follow its tolerance."""
    assert set(ORDER) == set(SAMPLERS) - {"adaptive"}


@pytest.mark.parametrize(("name", "lmbd"), [c for c in CASES if c[0] in ORDER])
def test_order_of_convergence(sde, name, lmbd):
    steps = [100, 200, 400]
    errors = [variance_error(sde, name, lmbd, n) for n in steps]
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(ORDER[name], abs=0.15)


@pytest.mark.parametrize("name", ["euler_maruyama", "exponential", "multistep", "stochastic_heun"])
def test_the_noisiest_lmbd_converges_too(sde, name):
    errors = [variance_error(sde, name, -10, n) for n in (200, 400, 800)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


def test_adaptive_reaches_its_tolerance(sde):
    assert variance_error(sde, "adaptive", 1, 3) < 3e-5


@pytest.mark.parametrize(
    ("name", "lmbd"), [c for c in CASES if c[0] not in ("euler_maruyama", *ODES)]
)
def test_the_exponential_family_is_exact_for_one_point(sde, rng, name, lmbd):
    """Data all at 2: E[x | y] = 2 whatever y is, so one step has the exact law of Y_s."""

    def a(y, s):
        return sde.g(s)[:, None] * (sde.m(s)[:, None] * 2 - y) / sde.var(s)[:, None]

    times = torch.tensor([1.0, 0.4, 0.1], dtype=torch.float64)
    x = torch.randn(50_000, 1, generator=rng, dtype=torch.float64)
    x = sde.m(times[0]) * 2 + sde.sigma(times[0]) * x
    x = sampler_of(name)(Reverse(sde, a, lmbd), x, times, noise_of(rng))
    m, var = sde.m(times[-1]).item(), sde.var(times[-1]).item()
    assert x.mean().item() == pytest.approx(2 * m, abs=4 * (var / 50_000) ** 0.5)
    assert x.var().item() == pytest.approx(var, rel=4 * (2 / 50_000) ** 0.5)


def test_a_step_is_ddim_at_lmbd_1_and_the_ddpm_posterior_at_lmbd_0(sde):
    s, r = torch.tensor([0.5, 0.3], dtype=torch.float64)
    (m, n), (v, w) = (f(torch.stack([s, r])) for f in (sde.m, sde.var))
    drift = gaussian_drift(sde, 1)
    ddim = Step.between(Reverse(sde, drift, 1), s, r)
    assert ddim.c == pytest.approx((w / v).sqrt().item())
    assert ddim.sd == 0
    ddpm = Step.between(Reverse(sde, drift, 0), s, r)
    ratio = (m / n).item()  # of x_r in x_s given x_r
    assert ddpm.c == pytest.approx(ratio * (w / v).item())
    assert ddpm.sd**2 == pytest.approx((w / v).item() * (1 - ratio**2))


@pytest.mark.parametrize("lmbd", [LMBDS[0], -0.9, 0, 1])
def test_sampled_variance_is_the_datas_for_every_lmbd(sde, rng, lmbd):
    """Data N(0, v I) with the exact drift; the mean over all coordinates has error sqrt(2/n) v."""
    variance, n = 0.5, 4000
    x = torch.randn(n, 4, generator=rng, dtype=torch.float64)
    reverse = Reverse(sde, gaussian_drift(sde, variance), lmbd)
    x = sampler_of("euler_maruyama")(reverse, x, grid_of("uniform", sde, 1000), noise_of(rng))
    error = 4 * variance * (2 / x.numel()) ** 0.5 + 0.01
    assert x.mean().abs() < 4 * (variance / x.numel()) ** 0.5
    assert x.var().item() == pytest.approx(variance, abs=error)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_step_is_reported_once_in_float64(sde, rng, name):
    seen = []
    reverse = Reverse(sde, gaussian_drift(sde, 0.3), 1)
    end = sampler_of(name)(
        reverse, torch.zeros(3, 2) + 1, grid_of("log_snr", sde, 7), noise_of(rng),
        lambda i, x: seen.append((i, x)),
    )  # fmt: skip
    assert [i for i, _ in seen] == list(range(1, 8))
    assert torch.equal(seen[-1][1], end)
    assert end.dtype == torch.float64


@pytest.mark.parametrize("steps", [1, 2, 37])
@pytest.mark.parametrize("name", GRIDS)
def test_grids_fall_from_T_to_0(sde, name, steps):
    times = grid_of(name, sde, steps)
    assert times.shape == (steps + 1,)
    assert (times[0], times[-1]) == (sde.T, 0)
    assert (times.diff() < 0).all()


def test_the_log_snr_grid_is_even_in_log_snr(sde):
    steps = sde.log_nsr(grid_of("log_snr", sde, 20)[:-1]).diff()
    assert torch.allclose(steps, steps.mean().expand_as(steps))


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n not in ODES])
def test_a_sample_does_not_depend_on_its_batch(sde, name):
    def run(index):
        x, reverse = torch.ones(len(index), 2), Reverse(sde, gaussian_drift(sde, 0.5))
        return sampler_of(name)(reverse, x, grid_of("quadratic", sde, 5), normal_streams(index, 3))

    assert torch.equal(run([0, 1, 2, 3])[2:], run([2, 3]))


def test_image_k_does_not_change_with_the_batch_size_and_clipping_is_counted(sde):
    drift = gaussian_drift(sde, 9.0)  # logits far out: many pixels leave the range
    grids = [
        sample_images(digits_model(), drift, Sampling(steps=8, count=5, batch_size=size, frames=3))
        for size in (2, 5)
    ]
    assert np.array_equal(grids[0].images, grids[1].images)
    assert np.array_equal(grids[0].frames, grids[1].frames)
    assert grids[0].frames.shape == (3, 5, 1, 8, 8)
    assert np.array_equal(grids[0].frames[-1], grids[0].images)
    outside = grids[0].below + grids[0].above
    # |y| > logit(0.95) for y ~ N(0, 9), as often as the normal law has it.
    expected = 2 * norm.sf(np.log(0.95 / 0.05) / 3) * 320
    assert outside == pytest.approx(expected, abs=4 * expected**0.5)


def test_the_configuration_names_what_there_is():
    assert set(SAMPLERS) == set(get_args(Sampler))
    assert set(GRIDS) == set(get_args(Grid))


def test_bad_input_is_refused_in_one_sentence(sde, rng):
    drift = gaussian_drift(sde, 1)
    with pytest.raises(VdiffError, match=r"lmbd is 1.5; it must be"):
        Reverse(sde, drift, 1.5)
    with pytest.raises(VdiffError, match="steps is 0"):
        grid_of("uniform", sde, 0)
    with pytest.raises(VdiffError, match="grid is 'cubic'; it must be one of uniform"):
        grid_of("cubic", sde, 5)
    with pytest.raises(VdiffError, match="sampler is 'ddim'; it must be one of adaptive"):
        sampler_of("ddim")
    with pytest.raises(VdiffError, match="predicts is 'epsilon'"):
        drift_of(drift, sde, "epsilon")
    for name in ODES:
        with pytest.raises(VdiffError, match=f"sampler {name} needs lmbd 1"):
            sampler_of(name)(
                Reverse(sde, drift, 0), torch.ones(1, 2), grid_of("uniform", sde, 2), None
            )
    bad = Reverse(sde, lambda y, s: y * (float("nan") if s[0] < 0.5 else 1.0))
    for name in ("euler_maruyama", "exponential", "multistep"):
        with pytest.raises(VdiffError, match="not finite after step 7"):
            sampler_of(name)(bad, torch.ones(1, 2), grid_of("uniform", sde, 10), noise_of(rng))


def test_score_parameterisation_is_a_over_g(sde, rng):
    y, s = torch.randn(5, 2, generator=rng), torch.rand(5, generator=rng)
    a = gaussian_drift(sde, 0.3)
    score = lambda y, s: a(y, s) / sde.g(s)[:, None]  # noqa: E731
    assert torch.allclose(drift_of(score, sde, "score")(y, s), a(y, s))
