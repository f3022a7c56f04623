"""What was published beside what was measured: the published curves against themselves."""

import numpy as np
import pandas as pd
import pytest

from vdiff.resources import published_curves, published_values
from vdiff.stats.beside import NO, UNRESOLVED, YES, beside
from vdiff.stats.claims import HIGHER_ERROR, LOWER_BPD


def as_ours(theirs):
    """The published curves as a table of the schema curves, by both estimators."""
    parts = [
        theirs.rename(columns={"bpd_std_err": "se_test"}).assign(
            estimator=estimator, arm="debias-" + theirs["debias"].astype(str), examples=1
        )
        for estimator in ("published", "efficient")
    ]
    return pd.concat(parts)


def claims_of(gain, ratio, half):
    rows = [
        {"name": claim.name, "ours": value, "low": value - half, "high": value + half}
        for claim, value in ((LOWER_BPD, gain), (HIGHER_ERROR, ratio))
    ]
    return pd.DataFrame(rows)


def test_the_published_curves_agree_with_themselves():
    theirs, values = published_curves(), published_values("cifar10")
    late = theirs[theirs["iteration"] >= 80_000].groupby("debias").mean()
    gain = late["bpd"][True] - late["bpd"][False]
    ratio = np.log(late["bpd_std_err"][True] / late["bpd_std_err"][False])
    rows = beside(as_ours(theirs), claims_of(gain, ratio, 0.01), values, theirs)
    by_name = {row["quantity"]: row for row in rows}
    assert [row["agrees"] for row in rows] == [None, None, YES, YES, YES, YES]
    both = by_name["True minus False, last fifth (bits/dim)"]
    assert both["published"] == pytest.approx(both["ours"]) == pytest.approx(-0.31, abs=0.01)
    assert by_name["log ratio of standard errors, True over False"]["published"] == pytest.approx(
        0.21, abs=0.01
    )
    assert by_name["share of marks with the True curve below"]["published"] > 0.9


def test_the_other_direction_disagrees_and_a_wide_interval_says_nothing():
    theirs, values = published_curves(), published_values("cifar10")
    swapped = as_ours(theirs.assign(debias=~theirs["debias"]))
    rows = beside(swapped, claims_of(0.3, 0.2, 0.4), values, theirs)
    assert [row["agrees"] for row in rows[2:]] == [UNRESOLVED, YES, UNRESOLVED, NO]
    rows = beside(swapped, claims_of(0.3, -0.2, 0.1), values, theirs)
    assert [row["agrees"] for row in rows[2:]] == [NO, YES, NO, NO]


def test_where_only_values_were_published_they_alone_are_compared():
    rows = beside(as_ours(published_curves()), claims_of(0, 0, 1), published_values("mnist"), None)
    assert [row["quantity"] for row in rows] == ["bits/dim, debias False"]
