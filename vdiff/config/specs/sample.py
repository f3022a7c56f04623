"""Sampled images."""

from pydantic import model_validator

from vdiff.config.fields import ODE_SAMPLERS, Lambda, Positive, key
from vdiff.config.specs.integration import Integration
from vdiff.config.specs.spec import Output, Spec


class Sampling(Integration):
    """Images sampled from the last snapshot of a run."""

    count: Positive = key(16, "How many images to sample.")
    lmbd: Lambda = key(0.0, "Member of the lambda family, at most 1.")
    batch_size: Positive = key(64, "Images at once.")

    @model_validator(mode="after")
    def _ode(self):
        if self.sampler in ODE_SAMPLERS and self.lmbd != 1:
            raise ValueError(f"the sampler {self.sampler} needs lmbd 1, not {self.lmbd:g}")
        return self


COLUMNS = {
    "sampler": "the solver",
    "lmbd": "member of the λ family",
    "steps": "steps of the solver",
    "images": "how many were sampled",
    "pixels_below": "pixels below the range, which the grid clips",
    "pixels_above": "pixels above the range, which the grid clips",
}

SPEC = Spec(
    "sample",
    "sampling",
    Sampling,
    (
        Output("out", "samples.npz"),
        Output("table", "samples.csv", "samples", COLUMNS),
    ),
    images=True,
    minutes=120,
)
