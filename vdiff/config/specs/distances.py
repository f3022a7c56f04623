"""Distances of samples to the data."""

from vdiff.config.fields import Distinct, Lambda, Positive, Sampler, Strict, key
from vdiff.config.specs.spec import FAULT, Axis, Output, Spec


class Distances(Strict):
    """How far samples are from the data, by lambda and steps."""

    lmbds: Distinct[Lambda] = key([-10, -0.9, 0, 0.5, 0.9, 1], "Members of the lambda family.")
    steps: Distinct[Positive] = key([10, 30, 100, 300, 1000], "Numbers of steps to try.")
    samplers: Distinct[Sampler] = key(["euler_maruyama", "multistep"], "Solvers to try.")
    samples: int = key(2000, "Points per sample.", ge=100)
    permutations: int = key(199, "Permutations of the test that distributions are equal.", ge=19)
    resamples: int = key(200, "Resamples behind a bootstrap interval.", ge=49)


COLUMNS = {
    "source": "`exact`: a mixture of Gaussians with its true drift; `learned`: the network",
    "fault": FAULT,
    "sampler": "the solver",
    "lmbd": "member of the λ family",
    "steps": "steps of the solver",
    "distance": "sliced Wasserstein distance to the data, in units of the data",
    "low": "lower end of the bootstrap 95% interval",
    "high": "its upper end",
    "p_value": "of a permutation test that the two distributions are equal",
    "null_mean": "mean distance of two samples of one distribution, of this size",
    "samples": "points per sample",
}

SPEC = Spec(
    "distances",
    "distances",
    Distances,
    (Output("out", "distances-{source}.csv", "distances", COLUMNS),),
    first_arm=True,
    images=False,
    axis=Axis(
        "source",
        lambda settings: ["exact", "learned"],
        "exact: a mixture of Gaussians along the Swissroll, with its true drift; "
        "learned: the trained network.",
    ),
    minutes=120,
)
