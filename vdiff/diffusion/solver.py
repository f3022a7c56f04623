"""The adaptive ODE solver: torchdiffeq's dopri5 in float64, of a bounded number of evaluations."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor
from torchdiffeq import odeint

from vdiff.errors import VdiffError

MOST_EVALUATIONS = 20_000
"""Of a field that is smooth, a tolerance of 1e-8 takes some hundreds."""


State = TypeVar("State", Tensor, tuple[Tensor, Tensor])


def solve(
    field: Callable[[Tensor, State], State], start: State, times: Tensor, tolerance: float
) -> tuple[State, int]:
    """(states at the times, evaluations of the field); tolerance is rtol and atol.

    Raises VdiffError when the tolerance is not reached within MOST_EVALUATIONS, or by no step.
    """
    evaluations = 0

    def counted(s: Tensor, state: State) -> State:
        nonlocal evaluations
        evaluations += 1
        if evaluations > MOST_EVALUATIONS:
            raise VdiffError(
                f"The ODE solver has not reached its tolerance {tolerance:g} within "
                f"{MOST_EVALUATIONS} evaluations; give a looser one."
            )
        return field(s, state)

    try:
        states = odeint(counted, start, times, rtol=tolerance, atol=tolerance, method="dopri5")
    except AssertionError as error:  # of torchdiffeq: the step has no size left, or is not finite
        raise VdiffError(
            f"The ODE solver cannot reach its tolerance {tolerance:g} ({error}); "
            "give a looser one or train longer."
        ) from None
    return states, evaluations
