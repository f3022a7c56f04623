"""The steps after training that run a network, a file each; the command line makes a command of
each and the pipeline a rule, whose options are the fields of its section."""

from vdiff.config.specs import (
    discrete,
    distances,
    evaluate,
    forms,
    inference,
    likelihood,
    quality,
    sample,
    theory,
    trajectory,
    variance,
)
from vdiff.config.specs.spec import Spec

SPECS: dict[str, Spec] = {
    module.SPEC.name: module.SPEC
    for module in (
        evaluate, likelihood, discrete, variance, sample, quality, trajectory, distances, forms,
        theory,
        inference,
    )
}  # fmt: skip
"""By name, in the order of the report's story."""
