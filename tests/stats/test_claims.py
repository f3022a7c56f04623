"""The claims code on synthetic results in which a claim is true, false or underpowered."""

import numpy as np
import pandas as pd
import pytest

from vdiff.files.schemas import SCHEMAS
from vdiff.resources import published_curves
from vdiff.stats import claims as judged
from vdiff.stats.claims import CLAIMS, FORMS_MARGIN, IDENTITIES, NATS_MARGIN, of_pairs
from vdiff.stats.controls import controls
from vdiff.stats.distances import SPREAD
from vdiff.stats.evidence import (
    ALPHA,
    FAILS,
    HOLDS,
    MORE,
    OPEN,
    Claim,
    Evidence,
    exact,
    finds,
    near,
    student,
    verdicts,
    weakest,
)
from vdiff.stats.gradients import BIAS_MARGIN
from vdiff.stats.intervals import t95

PUBLISHED = published_curves()


def judge(tables):
    """By the published curves."""
    return judged.judge({**tables, "published": PUBLISHED})


def evidence(z):
    """One claim of each z: an estimate z with standard error 1, true if positive."""
    return [claim(student(v, 1.0, np.inf, 1)) for v in z]


def claim(found, effect=np.inf):
    return Evidence(
        Claim("n", "c", "w", "f"), "e", found, unit="", published="", why="", effect=effect
    )


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


def test_a_test_finds_the_effect_that_it_states_with_80_percent_power():
    """One claim alone, 10 degrees of freedom: the share of "holds" at that effect."""
    rng, n, df = np.random.default_rng(4), 4000, 10
    least = finds(student(0.0, 1.0, df, 1), ALPHA / 2)
    error = np.sqrt(rng.chisquare(df, n) / df)
    found = least + rng.standard_normal(n)
    each = zip(found, error, strict=True)
    power = np.mean([verdicts([claim(student(v, e, df, 1))]) == [HOLDS] for v, e in each])
    assert power == pytest.approx(0.8, abs=0.03)  # its formula takes the error as known


def test_the_stated_power_is_that_of_all_parts_together():
    """Six estimates of 0, each to lie within a margin that their test says it finds."""
    rng, parts, repeats = np.random.default_rng(8), 6, 3000
    margin = finds(weakest(near(0.0, 1.0, np.inf, 0.0, 9.0) for _ in range(parts)), ALPHA / 2)
    found = [
        verdicts([claim(weakest(near(v, 1.0, np.inf, 0.0, margin) for v in values))])[0]
        for values in rng.standard_normal((repeats, parts))
    ]
    assert np.mean([v == HOLDS for v in found]) == pytest.approx(0.8, abs=0.03)


def test_claims_without_power_are_tested_as_all_are():
    """They count among those that are corrected for, and a large effect is found without power."""
    strong, weak = 1.0, 100.0
    estimate = student(2.5, 1.0, np.inf, 1)  # p = 0.006: held by Holm among 4 sides, not among 44
    claims = [claim(estimate, 10.0), claim(estimate, 10.0)]
    many = [claim(student(0.0, weak, np.inf, 1), strong)] * 20
    assert verdicts(claims) == [HOLDS, HOLDS]
    assert verdicts([*claims, *many]) == [OPEN, OPEN] + [MORE] * 20
    large = [claim(student(9 * weak, weak, np.inf, 1), strong)]
    assert verdicts([*claims, *large]) == [HOLDS, HOLDS, HOLDS]


@pytest.mark.parametrize(
    ("true", "verdict", "least"), [(0.0, HOLDS, 0.95), (0.3, FAILS, 0.95), (0.1, OPEN, 0.9)]
)
def test_claims_of_equality_on_both_sides(true, verdict, least):
    """Three settings within 0.1 with error 0.02; true where all are, on the border, or outside."""
    rng, found = np.random.default_rng(6), []
    for _ in range(300):
        values = rng.choice([-1, 1], 3) * true + 0.02 * rng.standard_normal(3)
        found += verdicts([claim(weakest(near(v, 0.02, np.inf, 0.0, 0.1) for v in values), 0.1)])
    assert np.mean([v == verdict for v in found]) >= least


@pytest.mark.parametrize(("effect", "wrong"), [(0.0, HOLDS), (0.1, FAILS)])
def test_a_trivial_effect_is_none_and_errors_stay_rare(effect, wrong):
    """On the border of either verdict, and in the middle of a trivial effect one is found."""
    rng = np.random.default_rng(7)

    def said(true, error, repeats):
        z = true + error * rng.standard_normal(repeats)
        each = [[claim(student(v, error, np.inf, 1, trivial=0.1), 0.4)] for v in z]
        return np.array([verdicts(e)[0] for e in each])

    rate = (said(effect, 0.02, 4000) == wrong).mean()
    assert rate <= ALPHA + 3 * (ALPHA / 4000) ** 0.5
    assert (said(0.0, 0.02, 1000) == FAILS).mean() > 0.93
    assert (said(0.2, 0.02, 1000) == HOLDS).mean() > 0.99
    assert (said(0.05, 0.005, 1000) == HOLDS).mean() > 0.99


def test_values_without_noise_decide():
    assert verdicts([claim(exact(1.0, True)), claim(exact(-1.0, False))]) == [HOLDS, FAILS]


RUN = {"experiment": "digits", "arm": "debias-True", "debias": True, "seed": 0}
PAIR = {"first": "debias-True", "second": "debias-False"}


def table(name, rows):
    """A table of the schema, what a row does not say filled with ones."""
    columns = list(SCHEMAS[name])
    sound = {"fault": "none", "images": 1000, "k_hat": 0.1, "k_most": 0.55, "share": 0.01}
    filled = [{**dict.fromkeys(columns, 1), **sound, **RUN, **PAIR, **row} for row in rows]
    return pd.DataFrame(filled)[columns]


MARGINS = {name: margin for name, (_, _, margin) in IDENTITIES.items()}


def theory_rows(draw, true):
    rows = [
        {"source": "exact", "statement": statement, "expected": 0.0, "std_err": margin / 20,
         "measured": draw(margin, margin / 20, -1)}
        for statement, margin in MARGINS.items() for _ in range(2)
    ]  # fmt: skip
    bounds = [(-1, -2.0), (0, -1.0 if true else -3.0), (0.5, -1.5)]
    bound = {"source": "exact", "statement": "lmbd_bound", "std_err": 0.0, "measured": -0.5}
    return rows + [{**bound, "setting": lmbd, "expected": b} for lmbd, b in bounds]


def tables(rng, effect):
    """Synthetic results; effect in standard errors, positive where all claims are true."""

    def draw(centre, se, side=1):
        return centre + se * (side * effect + rng.standard_normal())

    difference = {"iteration": 9, "difference": draw(0, 0.01, -1), "std_err": 0.01}
    ratio = {"log_sd_ratio": draw(0, 0.005), "log_sd_ratio_std_err": 0.005}
    estimators = ("published", "efficient")
    differences = [{"estimator": e, **difference, **ratio} for e in estimators]
    border = (1 - BIAS_MARGIN**2) ** 0.5
    cosines = {"uniform": draw(border, 0.0005, -1), "debiased": draw(border, 0.0005)}
    cosines["debiased_tenth"] = cosines["debiased"]
    columns = {"cosine_std_err": 0.0005, "k_hat": 0.1, "k_most": 0.55, "share": 0.1}
    gradient = [{"law": k, "cosine": v, **columns} for k, v in cosines.items()]
    common = {"sampler": "euler_maruyama"}
    distances = []
    for lmbd in (0, 1):
        d = draw(np.hypot(0.1, 0.05), 0.005, -1)
        half = 0.005 * SPREAD / 2 * d / np.hypot(d, 0.05)
        interval = {"low": d - half, "high": d + half, "null_mean": 0.05}
        case = {"source": "exact", "steps": 9, "lmbd": lmbd, "distance": d}
        distances.append({**common, **case, **interval})
    tail = {"k_hat": 0.1, "k_most": 0.55, "share": 0.1}
    at_margin = {"measured": draw(NATS_MARGIN, 0.002, -1), "expected": 0.0, "std_err": 0.002}
    pairs = [
        {"statement": statement, "sigma": 0.02, "points": 900, **at_margin, **tail}
        for statement in ("fading", "elbo")
    ]
    found = {
        "inference": pairs,
        "differences": differences,
        "gradient": gradient,
        "distances": distances,
        "forms": [
            {"form": form, "excess": draw(FORMS_MARGIN, 0.002, -1), "excess_std_err": 0.002, **at}
            for at in ({"iteration": 0, "draws": 900}, {"iteration": 9, "draws": 900})
            for form in ("sliced", "implicit", "explicit")
        ],
        "theory": theory_rows(draw, effect > 0),
    }
    return {name: table(name, rows) for name, rows in found.items()}


@pytest.mark.parametrize(("effect", "verdict"), [(8, HOLDS), (-8, FAILS), (0, OPEN)])
def test_tables_lead_to_their_verdicts(effect, verdict):
    rng = np.random.default_rng(2)
    rows = [row for _ in range(20) for row in judge(tables(rng, effect))]
    # The bound of the lambda member has no noise: its verdict is never open. Nor are those of
    # effects that were published with a size: none at all is less than a quarter of it.
    sizes = ("lower_bpd", "higher_error")
    sized = [row["verdict"] for row in rows if row["name"] in sizes]
    found = [row["verdict"] for row in rows if row["name"] not in (*sizes, "lmbd_bound")]
    assert (len(rows), len(found), len(sized)) == (20 * 15, 20 * 12, 20 * 2)
    assert np.mean([v == verdict for v in found]) >= 0.95
    assert np.mean([v == (verdict if effect else FAILS) for v in sized]) >= 0.95


def test_an_estimate_without_error_resolves_nothing():
    for error in (0.0, float("nan")):
        assert verdicts([claim(student(1.0, error, 9, 1))]) == [OPEN]


DOUBTS = {"tail": {"k_hat": 0.7}, "one draw": {"share": 0.9}, "none": {}}
TAILED = [name for name in CLAIMS if "k_hat" in SCHEMAS[name]]


@pytest.mark.parametrize("doubt", DOUBTS)
@pytest.mark.parametrize("name", TAILED)
def test_an_error_not_to_be_believed_decides_nothing(name, doubt):
    """Every claim on a table of errors with a tail, at 8 standard errors: undecided and without an
    interval where the tail's shape or one draw's share is too large, and decided where neither."""
    found = tables(np.random.default_rng(2), 8)[name].assign(**DOUBTS[doubt])
    rows = judge({name: found})
    assert len(rows) >= 2
    doubted = doubt != "none"
    for row in rows:
        assert row["verdict"] == (OPEN if doubted else HOLDS)
        assert ("not decided" in row["why"]) == doubted
        assert np.isnan([row["low"], row["high"], row["finds"]]).all() == doubted


def test_tables_of_errors_with_a_tail_are_those_that_claims_are_known_to_check():
    assert TAILED == ["gradient", "differences", "inference"]


def test_few_degrees_of_freedom_widen_the_interval():
    """Of ten images: Student's 2.26 standard errors for 1.96; of two seeds, 12.7."""
    ten, two = (student(0.0, 1.0, df, 1).high for df in (9, 1))
    assert ten == pytest.approx(2.262, abs=1e-3)
    assert two == pytest.approx(12.706, abs=1e-3)


def quality(rng, true, false, error=0.02, seeds=1, scatter=0.0):
    """Distances of both arms' samples, with noise of their own."""
    return table("quality", [
        {"debias": debias, "arm": f"debias-{debias}", "seed": seed, "space": "classes",
         "measure": "kernel", "std_err": error, "samples": 100, "real": 100,
         "value": mean * np.exp(scatter * rng.standard_normal()) + error * rng.standard_normal()}
        for seed in range(seeds) for debias, mean in ((True, true), (False, false))
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("true", "false", "verdict"), [(0.05, 2, HOLDS), (2, 0.05, FAILS), (0.2, 0.2, MORE)]
)
def test_samples_lead_to_their_verdicts(true, false, verdict):
    rng, found = np.random.default_rng(3), []
    for _ in range(20):
        (row,) = judge({"quality": quality(rng, true, false)})
        found.append(row["verdict"])
    assert np.mean([v == verdict for v in found]) >= 0.9


@pytest.mark.parametrize(("seeds", "scatter"), [(1, 0.0), (3, 0.3)])
def test_the_interval_of_the_contrast_covers_it(seeds, scatter):
    """Of distances 0.4 and 0.6; trainings scatter by a third. Where nothing is to be compared there
    is no interval: distances that are noise alone."""
    rng = np.random.default_rng(4)
    repeats = [
        quality(rng, 0.4, 0.6, 0.03, seeds, scatter).assign(experiment=f"{k}") for k in range(200)
    ]
    found = judged.evidence_of({"quality": pd.concat(repeats)})
    low, high = np.transpose([[e.estimate.low, e.estimate.high] for e in found])
    assert len(low) == 200
    assert np.mean((low <= -0.2) & (-0.2 <= high)) >= 0.93
    (row,) = judge({"quality": quality(rng, 0.0, 0.0)})
    assert "nothing to compare" in row["why"]
    assert np.isnan(row["low"])


def test_the_bpd_claim_averages_the_last_fifth_over_seeds():
    rows = [
        {"estimator": "efficient", "seed": seed, "iteration": iteration,
         "difference": seed - iteration / 100, "std_err": 0.5}
        for seed in (0, 1) for iteration in (10, 80, 90, 100)
    ]  # fmt: skip
    (row,) = judge({"differences": table("differences", rows)})
    assert row["ours"] == pytest.approx(0.5 - 0.9)
    retraining = 0.5**0.5 / 2**0.5
    half = np.hypot(t95(999) * 0.5, t95(1) * retraining)  # Banerjee (1960)
    assert row["high"] - row["low"] == pytest.approx(2 * half)


def test_claims_compare_one_pair_of_arms_alone():
    rows = [
        {"estimator": "efficient", "iteration": 9, "difference": value, "std_err": 0.01,
         "first": first}
        for first, value in (("debias-True", -1.0), ("improved", 5.0))
    ]  # fmt: skip
    both = table("differences", rows)
    (experiment,), (second,) = both["experiment"].unique(), both["second"].unique()
    pair = of_pairs(both, {experiment: ("debias-True", second)})
    (row,) = judge({"differences": pair})
    assert row["ours"] == -1.0
    assert row["verdict"] == HOLDS
    assert judge({"differences": of_pairs(both, {experiment: None})}) == []
    arms = quality(np.random.default_rng(0), 1, 2)
    (experiment,) = arms["experiment"].unique()
    assert len(of_pairs(arms, {experiment: ("debias-True", "other")})) == 1


@pytest.mark.parametrize(("effect", "caught"), [(-8, True), (0, False), (8, False)])
def test_a_wrong_formula_is_rejected_and_a_right_one_is_not(effect, caught):
    """The tables' rows as those of a fault, with effects in standard errors beyond the margins; on
    the border, at most one of twenty times that any is rejected."""
    rng, found = np.random.default_rng(9), []
    for _ in range(20):
        wrong = {k: v for k, v in tables(rng, effect).items() if "fault" in v}
        for frame in wrong.values():
            frame["fault"] = "a fault"
        assert judge(wrong) == []
        rows = [r for r in controls(wrong) if r["name"] != "lmbd_bound"]
        assert {r["fault"] for r in rows} == {"a fault"}
        found.append([(r["rejected"], r["power"]) for r in rows])
    said, power = np.array(found).transpose(2, 0, 1)
    if caught:
        assert said.mean() > 0.95
        assert (power > 0.8).mean() > 0.9
    else:
        assert (said.any(1)).mean() <= 0.2
        assert power.mean() < 0.2


def test_laws_of_time_stand_in_for_each_other():
    """The gradient's rows of one law, judged as another's: biased times are no unbiased ones."""
    found = tables(np.random.default_rng(2), 8)
    rows = controls({"gradient": found["gradient"]})
    assert [(r["name"], r["rejected"]) for r in rows] == [
        ("unbiased_gradient", True),
        ("biased_gradient", True),
    ]


def test_claims_on_arms_are_about_retraining():
    """Seeds that scatter by more than the test images tell: the interval follows them, its
    coverage over 400 repeats of three seeds is that of Student's t."""
    rng = np.random.default_rng(10)
    rows = [
        {"experiment": f"{k}", "estimator": "published", "seed": seed, "iteration": 9,
         "log_sd_ratio": 0.1 + 0.2 * rng.standard_normal(), "log_sd_ratio_std_err": 0.001}
        for k in range(400) for seed in range(3)
    ]  # fmt: skip
    repeats = {"differences": table("differences", rows), "published": PUBLISHED}
    found = judged.evidence_of(repeats)
    assert len(found) == 400
    assert all("3 trainings" in e.why for e in found)
    inside = [e.estimate.low <= 0.1 <= e.estimate.high for e in found]
    assert 0.92 <= np.mean(inside) <= 0.98
