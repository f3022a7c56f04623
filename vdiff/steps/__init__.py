"""The steps that run a network after training. The module of each, which has the step's name, has
`measure`, the step itself, and `cost`, the forward passes of one example that it takes."""

from typing import Any, NamedTuple


class Measured(NamedTuple):
    """What a step found: rows or arrays by the option of the output, and a sentence about it."""

    outputs: dict[str, Any]
    message: str = ""


BACKWARD = 2  # forward passes' worth of a gradient, beside the forward pass itself
