"""The steps that measure the paper's identities: theory on a mixture, forms of the loss."""

import json

import numpy as np
import pytest
import torch

from vdiff.config import Forms, Theory
from vdiff.config.run import Run
from vdiff.data import load
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sde import at
from vdiff.diffusion.tensors import expand_like, sum_features
from vdiff.files.weights import write_snapshot
from vdiff.machine.seeds import generator
from vdiff.steps.faults import NO_G, NO_PRIOR, STRONG, WRONG_SCORE
from vdiff.steps.forms import form_of, measure, names_of, times, values_at, wrong_forms
from vdiff.steps.theory import delta, feynman_kac, flow, layers, lmbd_bound, same_density
from vdiff.trained import Trained

SMALL = Theory(
    paths=1000, path_steps=150, flow_points=400, layers=64, doublings=2, layer_points=200
)


def test_the_error_of_the_drift_has_no_divergence(rng):
    y = torch.randn(20, 2, generator=rng, dtype=torch.float64)
    J = torch.func.vmap(torch.func.jacrev(lambda v: delta(v[None])[0]))(y)
    assert J.diagonal(dim1=1, dim2=2).sum(1).abs().max() < 1e-12


def test_the_mixture_obeys_the_identities(sde, rng):
    """Within 4 standard errors and the error of the steps; the sizes find the stated differences
    with 80% power."""
    mixture = Mixture.spiral(sde)
    rows = [*feynman_kac(mixture, SMALL, rng), *flow(mixture, SMALL, rng)]
    assert {row["statement"] for row in rows} == {"gap", "feynman_kac", "flow"}
    for row in rows:
        if row["fault"] != "none":  # each is made wrong by so much at least
            assert abs(row["measured"] - row["expected"]) > 3 * row["std_err"]
            continue
        assert 2.8 * row["std_err"] < 0.06
        assert abs(row["measured"] - row["expected"]) < 4 * row["std_err"] + 0.004
    assert {row["fault"] for row in rows} == {"none", NO_G, NO_PRIOR, STRONG}
    gaps = [r["expected"] for r in rows if (r["statement"], r["fault"]) == ("gap", "none")]
    assert gaps[0] < 1e-3 < gaps[1] < gaps[2] / 3  # quadratic in the error: 4 times


def test_noise_that_is_5_percent_off_is_seen_in_the_density(sde, rng):
    """The right members within 4 standard errors and the solver's, the wrong one beyond a tenth of
    the published effect."""
    settings = Theory(samples=10_000, sample_steps=100, law_lmbds=[0, 1])
    right, ode, wrong = same_density(Mixture.spiral(sde), settings, rng)
    for row in (right, ode):
        assert abs(row["measured"] - row["expected"]) < 4 * row["std_err"] + 0.01
    assert wrong["measured"] - wrong["expected"] < -0.043


def test_a_wrong_density_is_found(sde, rng):
    """Against a density that is twice as wide on every component."""
    mixture = Mixture.spiral(sde)
    wide = Mixture(sde, mixture.means, 2 * mixture.variance)

    class Mistaken(Mixture):
        def log_prob(self, y, s):
            return wide.log_prob(y, s)

    wrong = Mistaken(sde, mixture.means, mixture.variance)
    row = next(iter(feynman_kac(wrong, SMALL, rng)))
    assert abs(row["measured"] - 1) > 5 * row["std_err"] + 0.03


def test_layers_gain_half_with_each_doubling(sde):
    mixture = Mixture.spiral(sde)
    rows = list(layers(sde, mixture.a, mixture.sample, SMALL, generator("t", 0)))
    (slope,) = (row for row in rows if row["statement"] == "layers_slope")
    assert slope["measured"] == pytest.approx(-1, abs=0.3)
    assert all(row["measured"] > 3 * row["std_err"] for row in rows[:-1])


def test_the_bounds_of_lambda_lie_below(sde):
    every = list(lmbd_bound(sde, SMALL))
    rows = [row for row in every if row["fault"] == "none"]
    wrong = [row for row in every if row["fault"] != "none"]
    assert max(wrong, key=lambda row: row["expected"])["setting"] != 0
    assert all(row["measured"] > row["expected"] for row in rows)
    assert max(rows, key=lambda row: row["expected"])["setting"] == 0


def test_times_of_the_forms_are_uniform_in_log_nsr(sde, rng):
    s = times(sde, 1e-3, 4000, rng)
    low, high = (sde.log_nsr(at(v)) for v in (1e-3, sde.T))
    u = ((sde.log_nsr(s) - low) / (high - low)).sort().values
    assert torch.allclose(u, (torch.arange(4000).double() + 0.5) / 4000, atol=1e-3)


def test_forms_have_the_value_of_gaussian_data(sde, rng):
    """Data N(0, 2 I) and the drift -theta g y: each form's mean is known, and all are equal.

    A difference of 1.5% of the value is found with 80% power.
    """
    theta, n, d = 0.4, 200_000, 2
    C = float(sde.log_nsr(at(sde.T)) - sde.log_nsr(at(1e-3)))
    s = times(sde, 1e-3, n, rng)
    x = 2**0.5 * torch.randn(n, d, generator=rng, dtype=torch.float64)
    eps = torch.randn(x.shape, generator=rng, dtype=torch.float64)
    probe = torch.randn(x.shape, generator=rng, dtype=torch.float64).sign()
    D = 2 * sde.m(s).square() + sde.var(s)

    def a(y, s):
        return -theta * expand_like(sde.g(s), y) * y

    y = sde.perturb(x, s, eps)
    true = -expand_like(sde.g(s) / D, y) * y
    draw, names = (x, s, eps, probe), names_of(points=True, known=True)
    values = values_at(sde, a, draw, names)
    found = {name: form_of(name, sde, values, draw, C, true) for name in names}
    assert set(found) == {"denoising", "sliced", "implicit", "explicit"}
    wanted = C * d * float((sde.var(s) * (theta**2 * D / 2 - theta) + 0.5).mean())
    for value in found.values():
        error = float(value.std() / n**0.5)
        assert 2.8 * error < 0.015 * wanted
        assert abs(float(value.mean()) - wanted) < 4 * error
    wrong = wrong_forms(sde, values, draw, C, true)
    g, scale = sde.g(s), C / sde.weight(s)
    for name in ("sliced", "implicit"):
        off = scale * (1 - g) * -theta * g * d  # the divergence is -theta g d
        assert torch.allclose(wrong[NO_G, name], found[name] + off)
    off = scale * sum_features(0.05 * true * (true - a(y, s)) - 0.05 * true.square())
    assert torch.allclose(wrong[WRONG_SCORE, "explicit"], found["explicit"] + off)


def test_forms_of_a_run_are_one_but_for_noise(tmp_path):
    """An untrained MLP and one with weights at random: every excess within 4 standard errors."""
    run = Run.model_validate(
        {"experiment": "s", "arm": "a", "dataset": "swissroll", "debias": True, "seed": 0,
         "network": {"kind": "mlp", "hidden": [16]}}
    )  # fmt: skip
    model = Trained(run, load("swissroll"))
    rng = generator("weights", 0)
    for k in (0, 1):
        weights = {
            name: v + k * 0.3 * torch.randn(v.shape, generator=rng)
            for name, v in model.network.state_dict().items()
        }
        model.snapshots.append(write_snapshot(tmp_path, k, weights, (2,)))
    rows = measure(model, Forms(draws=20_000, batch_size=5000)).outputs["out"]
    assert json.loads(json.dumps(rows)) == rows
    wrong = [row for row in rows if row["fault"] != "none"]
    assert {(r["fault"], r["form"]) for r in wrong} == {
        (NO_G, "sliced"), (NO_G, "implicit"), (WRONG_SCORE, "explicit")
    }  # fmt: skip
    rows = [row for row in rows if row["fault"] == "none"]
    assert len(rows) == 2 * 4
    for row in rows:
        assert abs(row["excess"]) <= 4 * row["excess_std_err"]
    cost = {row["form"]: row["passes"] for row in rows}
    assert cost == {"denoising": 1, "explicit": 1, "sliced": 3, "implicit": 5}
    assert np.ptp([row["value"] for row in rows]) > 0.1
