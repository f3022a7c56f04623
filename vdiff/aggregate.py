"""Mean curves over seeds, and differences of two settings, with their standard errors."""

import numpy as np
import pandas as pd

from vdiff.uncertainty import paired_difference


def mean_curves(evaluation: pd.DataFrame) -> pd.DataFrame:
    """Rows of the schema curves from rows of the schema evaluation.

    se_test: over the test images (averaged over seeds, for all seeds share the images);
    se_seeds: standard deviation over seeds / sqrt(seeds), NaN for one seed.
    """
    keys = ["experiment", "debias", "estimator", "iteration"]
    grouped = evaluation.groupby(keys, sort=True)
    curves = grouped.agg(
        bpd=("bpd", "mean"),
        se_test=("bpd_std_err", "mean"),
        sd=("bpd", "std"),
        seeds=("seed", "nunique"),
    ).reset_index()
    curves["se_seeds"] = curves.pop("sd") / np.sqrt(curves["seeds"])
    return curves


def paired_differences(first: dict, second: dict) -> list[dict]:
    """first - second, arrays of per_image.npz, by estimator and iteration; images in common.

    std_err: for the mean over the population of images; se_mc: for these images. One pass cannot
    tell them apart.
    """
    rows = []
    for name in sorted(set(first) & set(second) - {"u"}):
        estimator, iteration = name.rsplit("_", 1)
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
            }
        )
    return rows
