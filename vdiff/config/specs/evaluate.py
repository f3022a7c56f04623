"""Bits/dim on the test set along training."""

from vdiff.config.fields import (
    Distinct,
    Estimator,
    Positive,
    PositiveFloat,
    Precision,
    Probe,
    Strict,
    key,
)
from vdiff.config.specs.spec import TAIL, Output, Spec


class Evaluation(Strict):
    """Bits/dim on the test set, with standard errors, for every snapshot of a run."""

    estimators: Distinct[Estimator] = key(["published"], "Which estimators of the ELBO to use.")
    images: int | None = key(
        None,
        "Use only so many test images: the first, of npz sets evenly spread ones; all by default.",
        ge=2,
    )
    passes: Positive = key(2, "Passes of the efficient estimator over the test images.")
    pilot: int = key(2048, "Training draws that fit the efficient estimator.", ge=64)
    target_se: PositiveFloat | None = key(
        None, "Instead of passes: go on until this Monte-Carlo error, in bits/dim."
    )
    probe: Probe = key("rademacher", "Hutchinson probe of the paper's estimator.")
    batch_size: Positive = key(256, "Images at once.")
    precision: Precision = key("float32", "Precision of the network's products in evaluation.")
    last: bool = key(False, "Evaluate only the last snapshot.")


COLUMNS = {
    "estimator": "`published` (the paper's) or `efficient`",
    "iteration": "optimiser steps so far",
    "examples": "training examples seen so far, repetitions counted",
    "bpd": "negative ELBO on the test set, mean over images",
    "bpd_std_err": "its standard error, test set and Monte Carlo together",
    "se_test": "its part from having this many images; unknown after one pass",
    "se_mc": "its part from the noise of the estimator; unknown after one pass",
    "images": "test images",
    "passes": "draws per image",
    "network_evaluations": "what it cost",
    **TAIL,
}

SPEC = Spec(
    "evaluate",
    "evaluation",
    Evaluation,
    (
        Output("out", "evaluation.csv", "evaluation", COLUMNS),
        Output("per_image", "per_image.npz"),
    ),
)
