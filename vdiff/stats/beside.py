"""What was published on a data set, and what was measured on it or on a part of it."""

import numpy as np
import pandas as pd

from vdiff.stats.claims import HIGHER_ERROR, LOWER_BPD
from vdiff.stats.evidence import Claim
from vdiff.stats.intervals import Z95, late
from vdiff.stats.published import published_effect

YES, NO, UNRESOLVED = "yes", "no", "not resolved"


def beside(
    curves: pd.DataFrame,
    claims: pd.DataFrame,
    values: pd.DataFrame,
    theirs: pd.DataFrame | None,
) -> list[dict]:
    """Rows of one experiment, in the order of a table: quantity, published, ours, low, high (an
    interval of 95%, NaN for none) and agrees (None where it is no question).

    curves, claims: its rows of these schemas. values: published bits/dim (debias, bpd). theirs:
    the published curves, None where there are none.
    """
    efficient, paper = (curves[curves["estimator"] == name] for name in ("efficient", "published"))
    arms = {str(debias): f"debias-{debias}" for debias in (False, True)}
    rows = []
    for row in values.itertuples():
        end = _ends(efficient if len(efficient) else paper, arms[str(row.debias)])
        if end is not None:
            half = Z95 * end["se_test"]
            rows.append(
                _row(f"bits/dim, debias {row.debias}", row.bpd, end["bpd"], None, half=half)
            )
    if theirs is None or not set(arms.values()) <= set(curves["arm"]):
        return rows
    effect = published_effect(theirs)
    noise = late(theirs).groupby("debias")["bpd_std_err"].mean()
    lower = _claim(claims, LOWER_BPD)
    if lower is not None:
        rows.append(_of_claim("True minus False, last fifth (bits/dim)", -effect.gain, lower))
        end = _ends(paper, arms["True"])
        if end is not None:
            sizes = effect.gain / noise[True], abs(lower["ours"]) / end["se_test"]
            same = _same_side(*sizes, 1)
            rows.append(_row("its size in standard errors of the True curve", *sizes, same))
    ratio = _claim(claims, HIGHER_ERROR)
    if ratio is not None:
        log_ratio = effect.log_ratio
        rows.append(_of_claim("log ratio of standard errors, True over False", log_ratio, ratio))
    shares = (
        _share(theirs, "debias", True, False),
        _share(efficient if len(efficient) else paper, "arm", arms["True"], arms["False"]),
    )
    rows.append(_row("share of marks with the True curve below", *shares, _same_side(*shares, 0.5)))
    return rows


def _row(
    quantity: str, published: float, ours: float, agrees: str | None, half: float = np.nan
) -> dict:
    return {
        "quantity": quantity,
        "published": published,
        "ours": ours,
        "low": ours - half,
        "high": ours + half,
        "agrees": agrees,
    }


def _of_claim(quantity: str, published: float, claim: pd.Series) -> dict:
    """The direction agrees if the interval is on the published side of 0."""
    low, high = claim["low"], claim["high"]
    agrees = UNRESOLVED
    if low > 0 or high < 0:
        agrees = YES if (low > 0) == (published > 0) else NO
    return {**_row(quantity, published, claim["ours"], agrees), "low": low, "high": high}


def _same_side(a: float, b: float, middle: float) -> str:
    return YES if (a > middle) == (b > middle) else NO


def _claim(claims: pd.DataFrame, claim: Claim) -> pd.Series | None:
    rows = claims[claims["name"] == claim.name]
    return rows.iloc[0] if len(rows) else None


def _ends(curves: pd.DataFrame, arm: str) -> pd.Series | None:
    """The last point of an arm's curve."""
    part = curves[curves["arm"] == arm].sort_values("iteration")
    return part.iloc[-1] if len(part) else None


def _share(curves: pd.DataFrame, column: str, first: object, second: object) -> float:
    """Share of the marks after the start at which the first curve is below the second."""
    after = curves[curves["iteration"] > 1].set_index(["iteration", column])["bpd"].unstack()
    return float((after[first] < after[second]).mean())
