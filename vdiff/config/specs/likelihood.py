"""The likelihood of the probability-flow ODE."""

from vdiff.config.fields import Positive, Strict, key
from vdiff.config.specs.spec import TAIL, Output, Spec


class Likelihood(Strict):
    """The exact likelihood of the probability-flow ODE beside the ELBO, for the last snapshot."""

    images: int = key(
        64, "Use only so many test images: the first, of npz sets evenly spread ones.", ge=2
    )
    tolerance: float = key(1e-4, "rtol and atol of the ODE solver.", ge=1e-10, le=0.01)
    passes: Positive = key(16, "Passes of the efficient estimator of the ELBO.")
    pilot: int = key(2048, "Training draws that fit the efficient estimator.", ge=64)
    batch_size: Positive = key(64, "Images at once.")


COLUMNS = {
    "iteration": "optimiser steps so far",
    "images": "test images",
    "bpd_ode": "exact likelihood of the probability-flow ODE",
    "bpd_ode_std_err": "its standard error over images",
    "bpd_elbo": "negative ELBO of the same images",
    "bpd_elbo_std_err": "its standard error over images",
    "gap": "negative ELBO minus exact value, paired by image",
    "gap_std_err": "its standard error over images",
    "trace": "`exact`, or `hutchinson` with one probe per image",
    "tolerance": "of the solver",
    "change": "mean absolute change in bits/dim when the tolerance is ten times as loose",
    "evaluations": "of the trace for one image by the solver, at both tolerances, over all images",
    **TAIL,
}

SPEC = Spec(
    "likelihood",
    "likelihood",
    Likelihood,
    (Output("out", "likelihood.csv", "likelihood", COLUMNS),),
)
