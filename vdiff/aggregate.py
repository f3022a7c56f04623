"""Mean curves over seeds, with both kinds of standard error."""

import numpy as np
import pandas as pd


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
