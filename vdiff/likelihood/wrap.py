"""A model from a network: its schedule, what it predicts, and the space of its data."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.predictions import drift_of, edm_output
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.sdes.flow import FlowSDE
from vdiff.diffusion.sdes.table import (
    TableSDE,
    cosine,
    linear,
    scaled_linear,
    sigmoid,
    table_of,
    zero_terminal_snr,
)
from vdiff.diffusion.sdes.ve import VESDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.errors import VdiffError, first_line
from vdiff.likelihood.model import Model
from vdiff.likelihood.network import Asked, Network
from vdiff.likelihood.space import Space
from vdiff.machine.devices import host_of

SCHEDULES: dict[str, tuple[Callable[[], SDE], float]] = {
    "vp": (VPSDE, 1e-5),
    "ve": (VESDE, 0.002),
    "edm": (VESDE, 0.002),
    "flow": (FlowSDE, 1e-3),
    "ddpm-linear": (lambda: TableSDE(linear()), 1e-3),
    "ddpm-cosine": (lambda: TableSDE(cosine()), 1e-3),
    "ddpm-sigmoid": (lambda: TableSDE(sigmoid()), 1e-3),
    "ddpm-scaled-linear": (lambda: TableSDE(scaled_linear()), 1e-3),
    "ddpm-linear-zero-snr": (lambda: TableSDE(zero_terminal_snr(linear())), 1e-3),
}
"""Name to SDE and the least time of its networks, in the SDE's own time."""


def wrap(
    net: Network,
    *,
    schedule: Any,
    predicts: str,
    data: Sequence[int],
    range: tuple[float, float] = (-1.0, 1.0),
    levels: int | Literal["auto"] | None = "auto",
    logit: bool = False,
    dequantisation: float | Literal["uniform"] = "uniform",
    time: Callable[[Tensor], Tensor] | None = None,
    s_min: float | None = None,
    ends_at: float | None = None,
    sigma_data: float = 0.5,
    device: str = "cpu",
    check: bool = True,
) -> Model:
    """A model of a network that was trained elsewhere.

    Arguments:
        net: The network, net(y, time) or net(y, time, condition) for y (B, *data) and time (B,), in
            any precision. It returns a tensor like y: alone, first in a tuple, or as `sample`. If
            it returns twice the channels, the first half is taken, and the second, a learned
            variance, is used by `Model.chain` only.
        schedule: One of SCHEDULES, an SDE of vdiff.diffusion.sdes, a table abar (N,) as DDPM has it
            (diffusers' alphas_cumprod), or any of DDPM's tables by name, such as {"betas": betas}
            (`table_of`).
        predicts: score, drift, noise, x0, v, velocity, or F, EDM's network between its skips (arXiv
            2206.00364); `vdiff.diffusion.predictions` defines them.
        data: The shape of an example.
        range: What the grey levels 0 and `levels` become for the network.
        levels: How many grey levels there are, 2 to 256, or None for real vectors. "auto" is 256
            for shapes of images (C, H, W), otherwise None.
        logit: Whether grey levels are mapped to the real line by a logit, in place of `range`.
        dequantisation: "uniform", or the standard deviation of a truncated normal, in grey levels
            (arXiv 2305.03935).
        time: Maps the SDE's time (B,) to what the network takes. By default that is the time
            itself, or, for tables, the step counted from 0, a fraction in between; a network that
            takes integers needs lambda s: (N * s - 1).round().long().
        s_min: The least time the network was trained at, in (0, T); by default that of SCHEDULES,
            1/N for a table, and T / 10,000 for another SDE.
        ends_at: The time in [s_min, T) below which a bound holds the score. By default `Model.fit`
            finds the best on its examples, and results say which.
        sigma_data: Standard deviation of the data in EDM's skips, for F only.
        device: The device that the network is on.
        check: Whether `Model.fit` refuses a network that is certainly not what it is said to be.

    Returns:
        The model, not yet fitted.

    Raises:
        VdiffError: When an argument is none of these; what only a call of the network can show is
            raised at its first call.
    """
    if not isinstance(schedule, str):
        schedule = _schedule(schedule)
    given = dict(locals())
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise VdiffError(
                f"schedule is {schedule!r}; it must be one of {', '.join(SCHEDULES)}, or an SDE."
            )
        make, least = SCHEDULES[schedule]
        sde = make()
    else:
        sde = schedule
        least = 1 / sde.N if isinstance(sde, TableSDE) else 1e-4 * sde.T
    s_min = least if s_min is None else _number(s_min, "s_min")
    ends_at = None if ends_at is None else _number(ends_at, "ends_at")
    sigma_data = _number(sigma_data, "sigma_data")
    if not 0 < s_min < sde.T:
        raise VdiffError(f"s_min is {s_min}; it must lie in (0, T) = (0, {sde.T}).")
    if ends_at is not None and not s_min <= ends_at < sde.T:
        raise VdiffError(f"ends_at is {ends_at}; it must lie in [s_min, T) = [{s_min}, {sde.T}).")
    low, high = checked_range(range)
    spread = None if dequantisation == "uniform" else _number(dequantisation, "dequantisation")
    if spread is not None and not 0 < spread < math.inf:
        raise VdiffError(
            f"dequantisation is {dequantisation}; it must be uniform or above 0 and finite."
        )
    if time is not None and not callable(time):
        raise VdiffError(f"time is {time!r}; it must be a function from the SDE's times (B,).")
    if predicts == "F" and not isinstance(sde, VESDE):
        raise VdiffError("predicts is F, which is for the schedules edm and ve.")
    shape = _shape(data)
    if levels == "auto":
        levels = 256 if len(shape) == 3 else None
    check_levels(levels)
    space = Space(shape, levels, low, high, logit, spread)
    try:
        torch.zeros(1, device=device)
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
        raise VdiffError(
            f"device is {device!r}, which torch cannot use here: {first_line(error)}."
        ) from None
    clock = time or (_step(sde) if isinstance(sde, TableSDE) else lambda s: s)
    network = Asked(net, device)

    def a(y: Tensor, s: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        def timed(y: Tensor, s: Tensor) -> Tensor:
            return network(y, clock(s), *condition, **named)

        def raw(y: Tensor, t: Tensor) -> Tensor:
            return network(y, t, *condition, **named)

        if predicts == "F":
            return drift_of(edm_output(raw, sigma_data), sde, "x0", s_min)(y, s)
        return drift_of(timed, sde, predicts, s_min)(y, s)

    drift_of(net, sde, "x0" if predicts == "F" else predicts, s_min)  # says at once what is wrong
    model = Model(sde, a, space, s_min, device=host_of(device), check=check, ends_at=ends_at)
    model.given, model.learned = {**given, "time": clock}, lambda: network.learned
    return model


def checked_range(range: Any) -> tuple[float, float]:
    """The two ends of a range. Raises VdiffError for what is no range."""
    try:
        low, high = map(float, range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise VdiffError(
            f"range is {range!r}; it must be two finite numbers, its first end below its second."
        )
    return low, high


def check_levels(levels: Any) -> None:
    """Raise VdiffError unless levels is a number of grey levels, or None."""
    if levels is not None and not (_is_whole(levels) and 2 <= levels <= 256):
        raise VdiffError(f"levels is {levels!r}; it must be 2 to 256, or None for real vectors.")


def _step(sde: TableSDE) -> Callable[[Tensor], Tensor]:
    return lambda s: (s * sde.N - 1).clamp(min=0)


def _schedule(schedule: Any) -> SDE:
    """Of what is no name."""
    if isinstance(schedule, SDE):
        return schedule
    if isinstance(schedule, Mapping):
        return table_of(**schedule)
    if isinstance(schedule, list | tuple | np.ndarray | Tensor):
        return TableSDE(schedule)  # type: ignore[arg-type]
    what = schedule.__name__ if isinstance(schedule, type) else type(schedule).__name__
    hint = ""
    if isinstance(schedule, type) and issubclass(schedule, SDE):
        hint = f": an instance is meant, {what}()"
    elif hasattr(schedule, "alphas_cumprod"):
        hint = ": its table alphas_cumprod is meant, or from_diffusers(net, scheduler)"
    raise VdiffError(
        f"schedule is {what}{hint}; it must be one of {', '.join(SCHEDULES)}, an SDE, or a table."
    )


def _shape(data: Any) -> tuple[int, ...]:
    if isinstance(data, Sequence) and data and all(_is_whole(n) and n > 0 for n in data):
        return tuple(operator.index(n) for n in data)
    raise VdiffError(
        f"data is {data!r}; it must be the shape of an example in positive whole numbers, such as "
        "(3, 32, 32)."
    )


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise VdiffError(f"{name} is {value!r}; it must be a number.") from None


def _is_whole(n: Any) -> bool:
    return isinstance(n, int | np.integer) and not isinstance(n, bool)
