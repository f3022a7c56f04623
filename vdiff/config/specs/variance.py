"""Variance of estimators and gradients."""

from vdiff.config.fields import Positive, Strict, key
from vdiff.config.specs.spec import TAIL, Output, Spec


class Variance(Strict):
    """Where in time each ELBO estimator has its variance; bias and variance of the gradients."""

    draws: int = key(20_000, "Draws of each ELBO estimator.", ge=100)
    pilot: int = key(2048, "Training draws that fit the efficient estimator.", ge=64)
    batches: int = key(
        50, "Batches in each slice of time behind its gradient, up to the next ten.", ge=10
    )
    batch_size: Positive = key(64, "Training examples per batch.")
    checkpoints: Positive = key(
        3, "Snapshots whose gradient is measured, evenly spread from the first interval to the end."
    )


VARIANCE_TIME = {
    "estimator": "`published` or `efficient`",
    "time_low": "lower end of a bin of the time that the estimator drew",
    "time_high": "its upper end",
    "draws": "how many fell in it",
    "variance": "its part of the variance of one draw, (bits/dim)²; all bins add up",
    "variance_std_err": "its standard error",
    **TAIL,
}
GRADIENT = {
    "iteration": "optimiser steps so far",
    "law": "`uniform`, `uniform_weighted`, `debiased` (`_tenth`, `_tenfold`: of eps_t), `unbiased` "
    "or `fitted` times; `best`: of the least variance without bias",
    "batches": "batches measured, over all slices of time",
    "batch_size": "examples per batch",
    "cosine": "of the mean gradient with the gradient of the ELBO",
    "cosine_std_err": "its jackknife standard error",
    "relative_bias": "‖mean - ELBO's gradient‖ / ‖ELBO's gradient‖, the mean at its best scale",
    "relative_bias_std_err": "its jackknife standard error",
    "relative_variance": "E‖gradient of an example - mean‖² / ‖mean‖², independent times",
    "relative_variance_std_err": "its jackknife standard error",
    "spread_variance": "the same where a batch's times are evenly spread",
    "spread_variance_std_err": "its jackknife standard error",
    **TAIL,
}

SPEC = Spec(
    "variance",
    "variance",
    Variance,
    (
        Output("out", "variance_time.csv", "variance_time", VARIANCE_TIME),
        Output("gradient", "gradient.csv", "gradient", GRADIENT),
    ),
    first_arm=True,
)
