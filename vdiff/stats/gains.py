"""What each arm gains over the paper's debiased one: bits/dim, and training examples saved."""

import numpy as np
import pandas as pd

from vdiff.stats.intervals import t95


def gains(curves: pd.DataFrame, differences: pd.DataFrame, base: str) -> list[dict]:
    """One row per experiment and arm but `base`, from tables of the schemas curves and differences.

    bpd, base_bpd: at the end; gain: of the arm over the base. Where `differences` has the pair and
    both have the same number of iterations it is paired by image, with its 95% interval over
    images (low, high; the mean over seeds), otherwise without one. reached: examples to where the
    base ends, NaN if never; examples: those of the base.
    """
    rows = []
    best = "efficient" if (curves["estimator"] == "efficient").any() else "published"
    for name, frame in curves[curves["estimator"] == best].groupby("experiment", sort=False):
        ends = frame.sort_values("iteration").groupby("arm", sort=False).tail(1).set_index("arm")
        if base not in ends.index:
            continue
        for arm in ends.index.drop(base):
            course = frame[frame["arm"] == arm].sort_values("iteration")
            rows.append(
                {
                    "experiment": name,
                    "arm": arm,
                    "bpd": ends.loc[arm, "bpd"],
                    "se": ends.loc[arm, "se_test"],
                    "base_bpd": ends.loc[base, "bpd"],
                    "examples": int(ends.loc[base, "examples"]),
                    "reached": examples_to(course, ends.loc[base, "bpd"]),
                    **_paired(differences, name, best, arm, base, ends),
                }
            )
    return rows


def examples_to(course: pd.DataFrame, bpd: float) -> float:
    """Examples after which a curve first comes down to bpd; NaN if it never does."""
    course = course[course["examples"] > 0]
    return reached(course["examples"].to_numpy(float), course["bpd"].to_numpy(), bpd)


def reached(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """The x > 0 at which y first comes down to level, linear in log x between points; NaN if it
    never does."""
    x = np.log(x)
    below = np.flatnonzero(y <= level)
    if not len(below):
        return np.nan
    k = below[0]
    if k == 0:
        return float(np.exp(x[0]))
    part = (y[k - 1] - level) / (y[k - 1] - y[k])
    return float(np.exp(x[k - 1] + part * (x[k] - x[k - 1])))


def _paired(
    differences: pd.DataFrame, name: str, estimator: str, arm: str, base: str, ends: pd.DataFrame
) -> dict:
    """The gain at the end with its interval."""
    d = differences
    here = (d["experiment"] == name) & (d["estimator"] == estimator)
    lengths = ends.loc[[arm, base], "iteration"]
    for first, second, sign in ((arm, base, -1), (base, arm, 1)):
        part = d[here & (d["first"] == first) & (d["second"] == second)]
        last = part[part["iteration"] == lengths.iloc[0]]
        if len(last) and lengths.nunique() == 1:
            gain, n = sign * last["difference"].mean(), int(last["images"].min())
            half = t95(n - 1) * last["std_err"].mean()
            return {"gain": gain, "low": gain - half, "high": gain + half}
    gain = ends.loc[base, "bpd"] - ends.loc[arm, "bpd"]
    return {"gain": gain, "low": np.nan, "high": np.nan}
