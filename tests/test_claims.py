"""The claims code on synthetic results in which a claim is true, false or underpowered."""

import numpy as np
import pandas as pd
import pytest

from vdiff import tidy
from vdiff.claims import ALPHA, FAILS, HOLDS, OPEN, Evidence, judge, normal, verdicts


def evidence(z):
    """One claim of each z: an estimate z with standard error 1, true if positive."""
    return [Evidence("c", "w", "e", **normal(v, 1.0, 1), unit="", published="", why="") for v in z]


def test_a_wrong_verdict_anywhere_is_as_rare_as_stated():
    """Eight claims, all exactly on the border, where either verdict would be wrong."""
    rng = np.random.default_rng(0)
    repeats = 4000
    wrong = sum(
        any(v != OPEN for v in verdicts(evidence(rng.standard_normal(8)))) for _ in range(repeats)
    )
    assert wrong / repeats <= ALPHA + 3 * (ALPHA / repeats) ** 0.5
    assert wrong / repeats > ALPHA / 2  # and not by saying nothing


@pytest.mark.parametrize(
    ("effect", "verdict", "rate"), [(6, HOLDS, 0.98), (-6, FAILS, 0.98), (0.5, OPEN, 0.95)]
)
def test_true_false_and_underpowered_claims_get_their_verdicts(effect, verdict, rate):
    rng = np.random.default_rng(1)
    found = [v for _ in range(200) for v in verdicts(evidence(effect + rng.standard_normal(8)))]
    assert np.mean([v == verdict for v in found]) >= rate


RUN = {"experiment": "digits", "debias": True, "seed": 0}


def tables(folder, rng, effect):
    """Synthetic results; effect in standard errors, positive where all claims are true."""

    def draw(centre, se, side=1):
        return centre + se * (side * effect + rng.standard_normal())

    def write(name, rows):
        columns = tidy.SCHEMAS[name]
        filled = pd.DataFrame([{**dict.fromkeys(columns, 1), **RUN, **row} for row in rows])
        tidy.write_csv(folder / f"{name}.csv", filled[columns], name)

    difference = {"iteration": 9, "difference": draw(0, 0.01, -1), "std_err": 0.01}
    ratio = {"log_sd_ratio": draw(0, 0.05), "log_sd_ratio_std_err": 0.05}
    estimators = ("published", "efficient")
    write("differences", [{"estimator": e, **difference, **ratio} for e in estimators])
    cosines = {"uniform": draw(1.0, 0.001, -1), "debiased": draw(0.98, 0.001)}
    rows = [{"law": k, "cosine": v, "cosine_std_err": 0.001} for k, v in cosines.items()]
    write("gradient", rows)
    common = {"metric": "sliced_wasserstein", "reference": "data", "sampler": "euler_maruyama"}
    rows = []
    for lmbd in (0, 1):
        d = draw(0.15, 0.005, -1)
        interval = {"low": d - 0.0098, "high": d + 0.0098, "null_mean": 0.05}
        rows.append(
            {**common, "source": "exact", "steps": 9, "lmbd": lmbd, "distance": d, **interval}
        )
    write("distances", rows)
    write("likelihood", [{"gap": draw(0, 0.01), "gap_std_err": 0.01}])


@pytest.mark.parametrize(("effect", "verdict"), [(8, HOLDS), (-8, FAILS), (0, OPEN)])
def test_tables_lead_to_their_verdicts(tmp_path, effect, verdict):
    rng = np.random.default_rng(2)
    found = []
    for k in range(20):
        tables(tmp_path / str(k), rng, effect)
        found += [row["verdict"] for row in judge(tmp_path / str(k))]
    assert len(found) == 20 * 6
    assert np.mean([v == verdict for v in found]) >= 0.95


def test_an_estimate_without_error_resolves_nothing():
    assert verdicts(
        [Evidence("c", "w", "e", **normal(1.0, 0.0, 1), unit="", published="", why="")]
    ) == [OPEN]
    assert verdicts(
        [Evidence("c", "w", "e", **normal(1.0, float("nan"), 1), unit="", published="", why="")]
    ) == [OPEN]


def grids(folder, rng, true_off, false_off):
    """Sample grids of both settings, off the test images' law by that much of grey."""
    names = (("True", true_off), ("False", false_off))
    real = rng.integers(60, 190, (16, 1, 4, 4))
    for debias, off in names:
        samples = (rng.integers(60, 190, (16, 1, 4, 4)) + off).clip(0, 255)
        path = folder / "runs/digits" / f"debias-{debias}" / "seed-0" / "samples.npz"
        content = {"samples": samples.astype(np.uint8), "test": real.astype(np.uint8)}
        tidy.write_npz(path, **content, levels=256)
    row = {**dict.fromkeys(tidy.SCHEMAS["samples"], 1), **RUN}
    tidy.write_csv(folder / "samples.csv", [row], "samples")


@pytest.mark.parametrize(
    ("true_off", "false_off", "verdict"), [(0, 60, HOLDS), (60, 0, FAILS), (0, 0, OPEN)]
)
def test_sample_grids_lead_to_their_verdicts(tmp_path, true_off, false_off, verdict):
    rng = np.random.default_rng(3)
    found = []
    for k in range(20):
        grids(tmp_path / str(k), rng, true_off, false_off)
        (row,) = judge(tmp_path / str(k))
        found.append(row["verdict"])
    assert np.mean([v == verdict for v in found]) >= 0.9


def test_the_bpd_claim_averages_the_last_fifth_over_seeds(tmp_path):
    columns = tidy.SCHEMAS["differences"]
    rows = [
        {**dict.fromkeys(columns, 1), **RUN, "estimator": "efficient", "seed": seed,
         "iteration": iteration, "difference": seed - iteration / 100, "std_err": 0.5}
        for seed in (0, 1) for iteration in (10, 80, 90, 100)
    ]  # fmt: skip
    tidy.write_csv(tmp_path / "differences.csv", pd.DataFrame(rows)[columns], "differences")
    (row,) = judge(tmp_path)
    assert row["ours"] == pytest.approx(0.5 - 0.9)
    retraining = 0.5**0.5 / 2**0.5
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * np.hypot(0.5, retraining))
