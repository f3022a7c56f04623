"""Quality of many samples."""

from vdiff.config.fields import Grid, Positive, Sampler, key
from vdiff.config.specs.sample import Sampling
from vdiff.config.specs.spec import Output, Spec


class Quality(Sampling):
    """The quality of many samples, from a fast sampler, in features learned on the same data."""

    sampler: Sampler = key("multistep", "The solver.")
    grid: Grid = key("log_snr", "The grid of times.")
    steps: Positive = key(30, "Steps of the solver.")
    count: int = key(1000, "How many images to sample.", ge=20)
    batch_size: Positive = key(250, "Images at once.")
    real: int = key(1000, "Test images to compare with, at most.", ge=20)
    checkpoints: Positive = key(
        1, "Snapshots to measure: the last, that at half its iterations, and so on."
    )
    feature_steps: int = key(600, "Steps in which the features are learned.", ge=0)


COLUMNS = {
    "iteration": "optimiser steps so far",
    "space": "`classes` or `turns` (learned), `random`, `texture`, `components`, `pixels`",
    "measure": "of stats/quality.py; `sliced_wasserstein`; `kernel_of_real`: training images'",
    "value": "0 is best of kernel, classifier, sliced_wasserstein and copies; 1 of the others",
    "std_err": "its standard error over samples and real images",
    "samples": "how many were sampled",
    "real": "how many test images they are compared with",
}

SPEC = Spec(
    "quality",
    "quality",
    Quality,
    (
        Output("out", "quality.csv", "quality", COLUMNS),
        Output("features", "quality.npz"),
    ),
    images=True,
    minutes=120,
)
