"""What networks are told beside y and time: labels, embeddings and the like."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vdiff.errors import VdiffError, first_line


@dataclass(frozen=True)
class Conditions:
    """given: the further positional arguments; named: those by name. Each is a tensor (N, ...) of
    the examples' own, or one of no dimensions, for all; integers stay integers."""

    given: tuple[Tensor, ...] = ()
    named: dict[str, Tensor] = field(default_factory=dict)

    @property
    def count(self) -> int | None:
        """Of examples; None where all of them share what there is."""
        sizes = [len(v) for v in (*self.given, *self.named.values()) if v.ndim]
        return sizes[0] if sizes else None

    def __getitem__(self, rows: Tensor | slice) -> "Conditions":
        """Those of rows (K,), or of a slice, of the examples."""
        return self._each(lambda v: v[rows] if v.ndim else v)

    def of_batch(self, n: int, device: str) -> "Conditions":
        """What n examples' network is given on its device."""
        return self._each(lambda v: (v if v.ndim else v.expand(n)).to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Conditions":
        named = {name: change(v) for name, v in self.named.items()}
        return Conditions(tuple(change(v) for v in self.given), named)


def conditions_of(condition: Any, n: int | None = None) -> Conditions:
    """From None, a tensor, array or list (N, ...), or a number for all; a tuple of several such is
    further positional arguments, a dict arguments by name. Raises VdiffError for what holds no
    numbers, and unless there are as many as examples, n, or, without n, as each other."""
    if condition is None:
        conditions = Conditions()
    elif isinstance(condition, Conditions):
        conditions = condition
    elif isinstance(condition, dict):
        conditions = Conditions(
            (), {k: _tensor(v, f"condition {k!r}") for k, v in condition.items()}
        )
    elif isinstance(condition, tuple):
        conditions = Conditions(
            tuple(_tensor(v, f"condition {k}") for k, v in enumerate(condition))
        )
    else:
        conditions = Conditions((_tensor(condition, "condition"),))
    many = conditions.count if n is None else n
    for v in (*conditions.given, *conditions.named.values()):
        if v.ndim and len(v) != many:
            of = "of another kind" if n is None else "examples"
            raise VdiffError(
                f"There are {len(v)} conditions for {many} {of}; there must be as many, or one "
                "number for all."
            )
    return conditions


def _tensor(value: Any, name: str) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise VdiffError(
            f"The {name} is a {type(value).__name__} that holds no numbers, one for each example: "
            f"{first_line(error)}."
        ) from None
