"""Adaptive ODE solvers in float64, of a bounded number of evaluations: Dormand-Prince's 5(4).

`solve` is torchdiffeq's, for states at several times; its steps are those of the whole batch.
`solve_each` is for the state at the end, with a time and a step for each example: a value does not
depend on what else is in the batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.errors import VdiffError, needed

MOST_EVALUATIONS = 5000
"""Of a smooth field, a tolerance of 1e-8 takes some hundreds and one of 1e-10 about a thousand."""
FIRST, LEAST_STEP = 1e-5, 1e-12  # of the whole way: to look how the slope changes; to go on at all
TOLERANCES = (1e-10, 0.1)
"""Below, rounding is what the steps would follow; above, nothing is left of the solution."""

# Dormand and Prince, J. Comput. Appl. Math. 6 (1980) 19-26, Table 2: RK5(4)7M. The last stage is
# the state that a step ends in. ERROR is the difference of order 5 and order 4.
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def solve(
    field: Callable[[Tensor, Tensor], Tensor], start: Tensor, times: Tensor, tolerance: float
) -> tuple[Tensor, int]:
    """(states at the times, evaluations of the field); tolerance is rtol and atol.

    Raises VdiffError when the tolerance is not reached within MOST_EVALUATIONS, or by no step.
    """
    with needed():
        from torchdiffeq import odeint  # here, for likelihoods do without it

    evaluations = 0

    def counted(s: Tensor, state: Tensor) -> Tensor:
        nonlocal evaluations
        evaluations += 1
        if evaluations > MOST_EVALUATIONS:
            raise _too_many(tolerance)
        return field(s, state)

    try:
        states = odeint(counted, start, times, rtol=tolerance, atol=tolerance, method="dopri5")
    except AssertionError:  # of torchdiffeq: the step has no size left, or is not finite
        raise _no_step(tolerance) from None
    return states, evaluations


def check_tolerance(tolerance: float) -> None:
    """Raise VdiffError unless a solver can be asked for it."""
    least, most = TOLERANCES
    if not least <= tolerance <= most:  # nor for what is no number
        raise VdiffError(f"tolerance is {tolerance:g}; it must be between {least:g} and {most:g}.")


def solve_each(
    field: Callable[[Tensor, Tensor, Tensor], Tensor], start: Tensor, end: float, tolerance: float
) -> tuple[Tensor, Tensor]:
    """(states at the time `end` (B, n), evaluations for each (B,) int64), from start (B, n) at 0.

    field(s (K,), states (K, n), rows (K,) int64) is (K, n), the slopes of those rows of the batch
    that are still on their way. tolerance, within TOLERANCES, is rtol and atol; the error of a step
    is the root mean square over all numbers but the last, or that of the last, whichever is larger.
    Raises VdiffError when the tolerance is not reached within MOST_EVALUATIONS of one example, or
    by no step, as where the field is not finite.
    """
    rows = torch.arange(len(start), device=start.device)
    ends, evaluations = start.clone(), torch.zeros_like(rows)
    s, y = start.new_zeros(len(start)), start
    slope, calls = field(s, y, rows), 2
    # The first step is by the slope and by how it changes, for at time 0 many a schedule stands
    # still: after Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.4.
    scale, h = tolerance * (1 + y.abs()), torch.full_like(s, FIRST * end)
    change = (field(h, y + h[:, None] * slope, rows) - slope) / h[:, None]
    steepest = torch.maximum(_norm(slope / scale), _norm(change / scale))
    h = ((0.01 / steepest) ** 0.2).clamp(max=end)
    while len(rows):
        if not (h >= LEAST_STEP * end).all():  # nor for a step that is no number
            raise _no_step(tolerance)
        if calls + len(NODES) > MOST_EVALUATIONS:
            raise _too_many(tolerance)
        last = h >= end - s
        h = torch.where(last, end - s, h)
        after = torch.where(last, end, s + h)  # exactly the end, and never beyond
        slopes, ahead = [slope], y
        for node, stage in zip(NODES, STAGES, strict=True):
            ahead = y + h[:, None] * _combine(stage, slopes)
            slopes.append(field(after if node == 1 else s + node * h, ahead, rows))
        calls += len(NODES)
        scale = tolerance * (1 + torch.maximum(y.abs(), ahead.abs()))
        error = _norm(h[:, None] * _combine(ERROR, slopes) / scale)
        taken = error <= 1
        s, y = torch.where(taken, after, s), torch.where(taken[:, None], ahead, y)
        slope = torch.where(taken[:, None], slopes[-1], slope)
        h = h * (0.9 * error**-0.2).clamp(0.2, 10).nan_to_num(0.2)  # no number: it went astray
        done = s == end
        ends[rows[done]], evaluations[rows[done]] = y[done], calls
        rows, s, y, slope, h = (v[~done] for v in (rows, s, y, slope, h))
    return ends, evaluations


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    terms = (w * slope for w, slope in zip(weights, slopes, strict=True) if w)
    return sum(terms, torch.zeros_like(slopes[0]))


def _norm(v: Tensor) -> Tensor:
    """Of v (K, n), (K,)."""
    return torch.maximum(v[:, :-1].square().mean(1).sqrt(), v[:, -1].abs())


def _too_many(tolerance: float) -> VdiffError:
    return VdiffError(
        f"The ODE solver has not reached its tolerance {tolerance:g} within "
        f"{MOST_EVALUATIONS} evaluations; give a looser one."
    )


def _no_step(tolerance: float) -> VdiffError:
    return VdiffError(
        f"The ODE solver cannot reach its tolerance {tolerance:g}: no step is short enough, or the "
        "state is not finite; give a looser one or train longer."
    )
