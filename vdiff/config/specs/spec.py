"""What the program knows of a step without torch: its settings, outputs and their columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vdiff.config.fields import Strict

TAIL = {
    "k_hat": "tail of the draws behind the standard errors",
    "k_most": "the largest `k_hat` at which they are reliable, 1/2 and what its noise may add",
    "share": "of the variance in the largest draw; above 0.5 they are unreliable",
}
"""Columns of every table of means."""
FAULT = "`none`, or what was made wrong on purpose for the test to reject"
"""The column of tables that have such rows."""


@dataclass(frozen=True)
class Output:
    """A file of a step, named in its run's folder. A table has a schema, whose columns with their
    meanings follow those that say whose run it is; an NPZ has none."""

    option: str
    file: str
    schema: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Axis:
    """What a step is run for one value at a time: an option, and its values in a section."""

    name: str
    values: Callable[[Any], list[str]]
    help: str


@dataclass(frozen=True)
class Spec:
    """A step that is measured on trained networks, by `measure` of the module vdiff.steps.NAME.

    section: the key of the experiment that switches the step on; settings: its type.
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
