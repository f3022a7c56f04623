"""The step that trains generative SDEs with an inference of their own and measures them."""

import numpy as np
import pandas as pd
import pytest
import torch

from vdiff.config import Inference
from vdiff.config.run import Run
from vdiff.data import load
from vdiff.diffusion.inference import log_weights, plug_in
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.files.weights import write_snapshot
from vdiff.machine.seeds import generator
from vdiff.nets.mlp import MLP
from vdiff.stats.claims import evidence_of
from vdiff.stats.evidence import rejected, verdicts
from vdiff.steps.faults import NO_F, NO_PRIOR, NONE
from vdiff.steps.inference import Source, jittered, learned, measure, rows_of, train_pairs
from vdiff.trained import Trained

TINY = Inference(
    hidden=[8], iterations=2, batch_size=8, path_steps=4, plug_in_iterations=4, points=80,
    fine_steps=8, paths=3,
)  # fmt: skip
STATEMENTS = ["ode", "pair", "without_a", "fixed", *["fading"] * 4, "plug_in", *["elbo"] * 2]


def model(tmp_path):
    run = Run.model_validate(
        {"experiment": "s", "arm": "a", "dataset": "swissroll", "debias": True, "seed": 0,
         "network": {"kind": "mlp", "hidden": [8]}}
    )  # fmt: skip
    trained = Trained(run, load("swissroll"))
    weights = trained.network.state_dict()
    trained.snapshots.append(write_snapshot(tmp_path, 0, weights, (2,)))
    return trained


def test_the_same_seed_gives_the_same_rows_and_arrays(tmp_path):
    """So that a job that was killed, and begins anew, ends in the same bytes."""
    trained = model(tmp_path)
    first, again = (measure(trained, TINY).outputs for _ in range(2))
    assert pd.DataFrame(first["out"]).equals(pd.DataFrame(again["out"]))
    rows = pd.DataFrame(first["out"])
    assert rows.groupby("source", sort=False)["statement"].apply(list).to_dict() == {
        "data": STATEMENTS,
        "mixture": STATEMENTS,
    }
    assert set(rows["fault"]) == {NONE, NO_PRIOR, NO_F}
    assert first["drawn"].keys() == again["drawn"].keys()
    for name, array in first["drawn"].items():
        assert np.array_equal(array, again["drawn"][name])
    assert first["drawn"]["mixture pair"].shape == (9, 3, 2)
    assert np.array_equal(first["drawn"]["data ode"][0], first["drawn"]["data plug_in"][0])


@pytest.fixture(scope="module")
def exact():
    """Rows of models whose a is the truth: a plug-in SDE, and one of fixed noise as the pair."""
    sde = VPSDE()
    mixture, sigma = Mixture.ring(sde), 0.3
    still = Mixture(VPSDE(sigma**2, sigma**2), mixture.means, mixture.variance)
    pair = plug_in(still.sde, still.a)
    settings = Inference(points=1200, fine_steps=320, fading=[0.1, 0.02])
    source = Source("mixture", mixture.sample, mixture, mixture.a)
    ode = plug_in(sde, mixture.a).member(1.0)
    rows = rows_of(source, sde, ode, pair, settings, 1e-3, 0)
    return pd.DataFrame([{"source": "mixture", "experiment": "e", **row} for row in rows])


def of(rows, statement, fault=NONE):
    return rows[(rows["statement"] == statement) & (rows["fault"] == fault)]


def test_true_models_have_the_density_of_the_data(exact):
    """The flow and the plug-in SDE within 4 standard errors and the steps' error; a fixed forward
    process of little noise misses its distance from the prior, and the general bound knows."""
    for statement in ("ode", "plug_in"):
        (row,) = of(exact, statement).itertuples()
        assert abs(row.measured - row.expected) < 4 * row.std_err + 0.015
    (pair,), (fixed,) = of(exact, "pair").itertuples(), of(exact, "fixed").itertuples()
    assert fixed.measured < fixed.expected - 0.5
    assert abs(pair.measured - fixed.measured) < 4 * np.hypot(pair.std_err, fixed.std_err)


def test_the_claims_hold_of_true_models_and_their_controls_are_rejected(exact):
    right = evidence_of({"inference": exact})
    assert [e.claim.name for e in right] == ["noise_fades", "fixed_inference"]
    assert verdicts(right) == ["holds", "holds"]
    for fault, name in ((NO_PRIOR, "noise_fades"), (NO_F, "fixed_inference")):
        wrong = evidence_of({"inference": exact}, fault)
        assert [e.claim.name for e in wrong] == [name]
        assert [caught for caught, _ in rejected(wrong)] == [True]


def test_training_raises_the_bound(sde):
    """Of both pairs, of one mixture in few steps, by more than 4 standard errors."""
    mixture = Mixture.ring(sde)
    source = Source("mixture", mixture.sample, mixture, mixture.a)
    settings = Inference(hidden=[32], iterations=40, batch_size=64, path_steps=6)
    net = MLP(2, generator("inference weights", 0), (32,), fields=2).double()
    x = mixture.sample(300, generator("x"))
    eps = torch.randn(10, 300, 2, generator=generator("eps"), dtype=torch.float64)
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    with torch.no_grad():
        before = [log_weights(learned(sde, net, sigma), x, times, eps) for sigma in (0.0, 0.3)]
    for pair, low in zip(train_pairs(source, sde, settings, 0), before, strict=True):
        with torch.no_grad():
            gain = log_weights(pair, x, times, eps) - low
        assert float(gain.mean()) > 4 * float(gain.std()) / 300**0.5


def test_times_of_a_path_keep_their_order(rng):
    for _ in range(20):
        times = jittered(2.0, 7, rng)
        assert (times.diff() > 0).all()
        assert (times[0], times[-1]) == (0, 2)


def test_data_of_unknown_density_have_no_row_beside_it(sde):
    mixture = Mixture.ring(sde)
    unknown = Source("data", mixture.sample, None, mixture.a)
    net = MLP(2, generator("n"), (8,), fields=2).double().requires_grad_(False)
    ode, pair = learned(sde, net, 0.0), learned(sde, net, 0.3)
    rows = pd.DataFrame(list(rows_of(unknown, sde, ode, pair, TINY, 1e-3, 0)))
    assert "fixed" not in set(rows["statement"])
    assert of(rows, "pair")[["expected", "std_err"]].isna().all(axis=None)
    assert of(rows, "pair")["measured_std_err"].notna().all()
    assert of(rows, "fading")[["expected", "std_err"]].notna().all(axis=None)
