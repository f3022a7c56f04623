"""The forms of score matching."""

from vdiff.config.fields import Positive, Strict, key
from vdiff.config.specs.spec import FAULT, Output, Spec


class Forms(Strict):
    """The forms of score matching (denoising, implicit, sliced, explicit) along training."""

    draws: int = key(4096, "Training draws behind each form.", ge=100)
    checkpoints: int = key(4, "Snapshots to measure, evenly spread, the first and last.", ge=2)
    batch_size: Positive = key(256, "Draws at once.")


COLUMNS = {
    "iteration": "optimiser steps so far",
    "fault": FAULT,
    "form": "of score matching: `denoising`, `implicit`, `sliced` or `explicit`",
    "value": "its loss with its constant, nats per dimension",
    "std_err": "its standard error",
    "excess": "over the denoising form, of the same draws, bits/dim",
    "excess_std_err": "its standard error",
    "variance": "of one draw, (nats per dimension)²",
    "passes": "what a draw costs, in forward passes",
    "draws": "how many",
}

SPEC = Spec(
    "forms",
    "forms",
    Forms,
    (Output("out", "forms.csv", "forms", COLUMNS),),
    first_arm=True,
)
