"""The steps that run a network, one per module; the catalogue lists those after training.

A step `name` is the function `measure` of the module vdiff.steps.NAME.
"""

from typing import Any, NamedTuple


class Measured(NamedTuple):
    """What a step found: rows or arrays by the option of the output, and a sentence about it."""

    outputs: dict[str, Any]
    message: str = ""


def number(value: float) -> str:
    """A number as file names and options have it: as short as it can be without loss.

    >>> number(-10.0), number(0.5), number(0.1234567)
    ('-10', '0.5', '0.1234567')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
