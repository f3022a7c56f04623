"""What arms gain over a base: examples to reach it, and paired intervals."""

import numpy as np
import pandas as pd
import pytest

from vdiff.stats.gains import examples_to, gains


def curve(arm, values):
    rows = [
        {"experiment": "e", "arm": arm, "estimator": "efficient", "iteration": i,
         "examples": 10 * i, "bpd": v, "se_test": 0.1}
        for i, v in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_curve_linear_in_log_examples_is_met_exactly():
    course = curve("a", {i: 5 - np.log(i) for i in (1, 3, 9, 27)})
    assert examples_to(course, 5 - np.log(4.5)) == pytest.approx(45)
    assert examples_to(course, 6.0) == pytest.approx(10)
    assert np.isnan(examples_to(course, 0.0))


def test_gains_are_paired_where_the_pair_was_measured():
    """A difference of -0.5 with error 0.1 over 101 images is a gain of 0.5 with a t interval."""
    curves = pd.concat([curve("base", {1: 4.0, 2: 3.0}), curve("new", {1: 2.9, 2: 2.5})])
    d = {"experiment": "e", "estimator": "efficient", "iteration": 2, "difference": -0.5,
         "std_err": 0.1, "images": 101}  # fmt: skip
    for first, second, sign in (("new", "base", 1), ("base", "new", -1)):
        table = pd.DataFrame([{**d, "first": first, "second": second, "difference": -0.5 * sign}])
        [row] = gains(curves, table, "base")
        assert row["gain"] == pytest.approx(0.5)
        assert row["high"] - row["gain"] == pytest.approx(0.1984, abs=1e-4)
        assert row["reached"] == pytest.approx(10)
        assert row["examples"] == 20
    none = pd.DataFrame(columns=[*d, "first", "second"])
    [row] = gains(curves, none, "base")
    assert row["gain"] == pytest.approx(0.5)
    assert np.isnan(row["low"])
