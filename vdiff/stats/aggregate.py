"""Mean curves over seeds, and paired differences of two settings, with their standard errors."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from vdiff.errors import VdiffError
from vdiff.stats.intervals import jackknife
from vdiff.stats.tails import doubts
from vdiff.stats.uncertainty import paired_difference


def mean_curves(evaluation: pd.DataFrame) -> pd.DataFrame:
    """Rows of the schema curves from rows of the schema evaluation.

    se_test: over the test images (averaged over seeds, for all seeds share the images);
    se_seeds: standard deviation over seeds / sqrt(seeds), NaN for one seed.
    """
    keys = ["experiment", "arm", "debias", "estimator", "iteration"]
    grouped = evaluation.assign(doubtful=doubts(evaluation)).groupby(keys, sort=True)
    curves = grouped.agg(
        examples=("examples", "first"),
        bpd=("bpd", "mean"),
        se_test=("bpd_std_err", "mean"),
        sd=("bpd", "std"),
        seeds=("seed", "nunique"),
        images=("images", "min"),
        doubtful=("doubtful", "max"),
    ).reset_index()
    curves["se_seeds"] = curves.pop("sd") / np.sqrt(curves["seeds"])
    return curves


def paired_differences(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> list[dict]:
    """first - second, arrays of per_image.npz, by estimator and iteration; images in common.

    std_err: for the mean over the population of images; se_mc: for these images. One pass cannot
    tell them apart. Raises VdiffError when the images are not the same ones, or nothing is common.
    """
    rows = []
    if not np.array_equal(first.get("images", ()), second.get("images", ())):
        raise VdiffError("The two were evaluated on different images; a pair needs the same ones.")
    common = sorted(set(first) & set(second) - {"u", "images"})
    if not common:
        raise VdiffError("The two have no estimator and iteration in common.")
    for name in common:
        estimator, iteration = name.rsplit("_", 1)
        if first[name].shape[1] != second[name].shape[1]:
            sizes = f"{first[name].shape[1]} and {second[name].shape[1]}"
            raise VdiffError(f"{name} has {sizes} images; a paired difference needs the same ones.")
        passes = min(len(first[name]), len(second[name]))
        u = first["u"][:passes] if estimator == "efficient" else None
        d = paired_difference(first[name][:passes], second[name][:passes], u)
        rows.append(
            {
                "estimator": estimator,
                "iteration": int(iteration),
                "difference": d.mean,
                "std_err": d.std_err,
                "se_mc": d.se_mc,
                "images": first[name].shape[1],
                **asdict(d.tail),
                **_log_sd_ratio(first[name][0], second[name][0]),
            }
        )
    return rows


def _log_sd_ratio(x: np.ndarray, y: np.ndarray) -> dict:
    """log(sd x / sd y) of paired draws (n,), with its jackknife standard error."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n = len(x)
    if n < 3:
        return {"log_sd_ratio": np.nan, "log_sd_ratio_std_err": np.nan}

    def leave_one_out(v: np.ndarray) -> np.ndarray:
        """log of the variances without draw i, (n,)."""
        square = np.square(v - v.mean())
        return np.log((square.sum() - square * n / (n - 1)) / (n - 2))

    error = jackknife((leave_one_out(x) - leave_one_out(y)) / 2)
    ratio = np.log(x.std(ddof=1) / y.std(ddof=1))
    return {"log_sd_ratio": ratio, "log_sd_ratio_std_err": error}
