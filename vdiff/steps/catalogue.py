"""The steps after training that run a network: a catalogue that imports no torch.

The command line makes a command of each and the pipeline a rule; its options are the fields of its
section.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vdiff.config import (
    Discrete,
    Distances,
    Evaluation,
    Forms,
    Likelihood,
    Quality,
    Sampling,
    Strict,
    Theory,
    Trajectory,
    Variance,
)
from vdiff.steps import number


@dataclass(frozen=True)
class Output:
    """A file of a step, named in its run's folder; a table has a schema, an NPZ has none."""

    option: str
    file: str
    schema: str | None = None


@dataclass(frozen=True)
class Axis:
    """What a step is run for one value at a time: an option, and its values in a section."""

    name: str
    values: Callable[[Any], list[str]]
    help: str


@dataclass(frozen=True)
class Step:
    """section: the key of the experiment that switches the step on; settings: its type.

    first_arm: only the first arm's first seed is measured. images: True for image data only,
    False for points in the plane only, None for both. minutes and memory_mb: what a scheduler is
    asked for.
    """

    name: str
    section: str
    settings: type[Strict]
    outputs: tuple[Output, ...]
    first_arm: bool = False
    images: bool | None = None
    axis: Axis | None = None
    minutes: int = 240
    memory_mb: int = 6000


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step(
            "evaluate",
            "evaluation",
            Evaluation,
            (
                Output("out", "evaluation.csv", "evaluation"),
                Output("per_image", "per_image.npz"),
            ),
        ),
        Step(
            "likelihood",
            "likelihood",
            Likelihood,
            (Output("out", "likelihood.csv", "likelihood"),),
        ),
        Step(
            "discrete",
            "discrete",
            Discrete,
            (Output("out", "discrete.csv", "discrete"),),
            images=True,
        ),
        Step(
            "variance",
            "variance",
            Variance,
            (
                Output("out", "variance_time.csv", "variance_time"),
                Output("gradient", "gradient.csv", "gradient"),
            ),
            first_arm=True,
        ),
        Step(
            "sample",
            "sampling",
            Sampling,
            (Output("out", "samples.npz"), Output("table", "samples.csv", "samples")),
            images=True,
            minutes=120,
        ),
        Step(
            "quality",
            "quality",
            Quality,
            (Output("out", "quality.csv", "quality"), Output("features", "quality.npz")),
            images=True,
            minutes=120,
        ),
        Step(
            "trajectory",
            "trajectory",
            Trajectory,
            (
                Output("out", "trajectory/lmbd_{lmbd}.npz"),
                Output("table", "trajectory/lmbd_{lmbd}.csv", "trajectory"),
            ),
            first_arm=True,
            images=False,
            axis=Axis(
                "lmbd",
                lambda settings: [number(v) for v in settings.lmbds],
                "Member of the lambda family, at most 1.",
            ),
            minutes=120,
            memory_mb=2000,
        ),
        Step(
            "distances",
            "distances",
            Distances,
            (Output("out", "distances-{source}.csv", "distances"),),
            first_arm=True,
            images=False,
            axis=Axis(
                "source",
                lambda settings: ["exact", "learned"],
                "exact: a mixture of Gaussians along the Swissroll, with its true drift; "
                "learned: the trained network.",
            ),
            minutes=120,
        ),
        Step("forms", "forms", Forms, (Output("out", "forms.csv", "forms"),), first_arm=True),
        Step(
            "theory",
            "theory",
            Theory,
            (Output("out", "theory.csv", "theory"),),
            first_arm=True,
            images=False,
            minutes=60,
        ),
    )
}
