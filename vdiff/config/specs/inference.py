"""Generative SDEs with an inference of their own, figure 1."""

from pydantic import model_validator

from vdiff.config.fields import Distinct, Positive, PositiveFloat, Strict, key
from vdiff.config.specs.spec import FAULT, TAIL, Output, Spec


class Inference(Strict):
    """Generative and inference SDEs trained together by the bound (figure 1 of the paper)."""

    sigma: PositiveFloat = key(0.3, "The noise of the pair that has some.")
    fading: Distinct[PositiveFloat] = key(
        [0.2, 0.1, 0.02], "To how much the noise of that pair is turned down."
    )
    hidden: list[Positive] = key([64, 64], "Widths of the hidden layers.")
    iterations: Positive = key(
        280, "Optimiser steps of the neural ODE, and then again of the pair with noise."
    )
    batch_size: Positive = key(128, "Examples per step.")
    lr: PositiveFloat = key(0.01, "Step size of Adam.")
    path_steps: int = key(20, "Heun steps of a path in training, each of two evaluations.", ge=2)
    plug_in_iterations: Positive = key(3000, "Optimiser steps of the mixture's plug-in SDE.")
    points: int = key(
        3600, "Points of the plug-in SDE's bound; a quarter of them are the pairs'.", ge=80
    )
    fine_steps: int = key(
        200, "Heun steps of the plug-in SDE where its bound is measured, twice the pairs'.", ge=4
    )
    paths: Positive = key(12, "Paths of each model that are drawn.")

    @model_validator(mode="after")
    def _less(self):
        if max(self.fading) >= self.sigma:
            raise ValueError(f"fading has {max(self.fading):g}, no less than sigma, {self.sigma:g}")
        return self


COLUMNS = {
    "source": "`data`: the run's own; `mixture`: six Gaussians on a ring",
    "fault": FAULT,
    "statement": "what is measured (vdiff/steps/inference.py)",
    "sigma": "noise of the model; unknown for the plug-in SDE, whose noise is g(s)",
    "measured": "bound or log density of the model, mean over points, nats",
    "measured_std_err": "its standard error over points",
    "expected": "mean log density of the data, of the flow, or the ELBO, nats",
    "std_err": "standard error of measured minus expected, of the same points",
    "points": "how many",
    **TAIL,
}

SPEC = Spec(
    "inference",
    "inference",
    Inference,
    (
        Output("out", "inference.csv", "inference", COLUMNS),
        Output("drawn", "inference.npz"),
    ),
    first_arm=True,
    images=False,
    minutes=60,
)
