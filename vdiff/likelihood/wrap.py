"""A model from a network: its schedule, what it predicts, and the space of its data."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from vdiff.diffusion.predictions import drift_of, edm_output
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.sdes.flow import FlowSDE
from vdiff.diffusion.sdes.table import TableSDE, cosine, linear, scaled_linear, zero_terminal_snr
from vdiff.diffusion.sdes.ve import VESDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.errors import VdiffError
from vdiff.likelihood.model import Model
from vdiff.likelihood.network import Network, asked
from vdiff.likelihood.space import Space
from vdiff.machine.devices import host_of

SCHEDULES: dict[str, tuple[Callable[[], SDE], float]] = {
    "vp": (VPSDE, 1e-5),
    "ve": (VESDE, 0.002),
    "edm": (VESDE, 0.002),
    "flow": (FlowSDE, 1e-3),
    "ddpm-linear": (lambda: TableSDE(linear()), 1e-3),
    "ddpm-cosine": (lambda: TableSDE(cosine()), 1e-3),
    "ddpm-scaled-linear": (lambda: TableSDE(scaled_linear()), 1e-3),
    "ddpm-linear-zero-snr": (lambda: TableSDE(zero_terminal_snr(linear())), 1e-3),
}
"""Name to SDE and the least time of its networks, in the SDE's own time."""


def wrap(
    net: Network,
    *,
    schedule: str | SDE,
    predicts: str,
    data: Sequence[int],
    range: tuple[float, float] = (-1.0, 1.0),
    levels: int | Literal["auto"] | None = "auto",
    logit: bool = False,
    dequantisation: float | Literal["uniform"] = "uniform",
    time: Callable[[Tensor], Tensor] | None = None,
    s_min: float | None = None,
    sigma_data: float = 0.5,
    device: str = "cpu",
    check: bool = True,
) -> Model:
    """A model from a network net(y, time) or net(y, time, condition).

    schedule: one of SCHEDULES, or an SDE of vdiff.diffusion.sdes. predicts: score, drift, noise,
    x0, v, velocity, or F of EDM's networks. data: the shape of an example. range: what the grey
    levels 0 to `levels` become, or by logit the real line; levels: 256 for shapes of images (C, H,
    W), None for real vectors, unless given. dequantisation: uniform, or the standard deviation of a
    truncated normal in grey levels. time: from the SDE's time (B,) to what the network takes, by
    default itself, for DDPM's tables the step from 0, in between a fraction. s_min: the least time
    the network was trained on. check: whether `fit` refuses a network that denoises worse than a
    line through the data's mean. Raises VdiffError for what is none of these.
    """
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
    s_min = least if s_min is None else s_min
    if not 0 < s_min < sde.T:
        raise VdiffError(f"s_min is {s_min}; it must lie in (0, T) = (0, {sde.T}).")
    if not range[0] < range[1]:
        raise VdiffError(f"range is {range}; its first end must be below its second.")
    if dequantisation != "uniform" and not dequantisation > 0:
        raise VdiffError(f"dequantisation is {dequantisation}; it must be uniform or above 0.")
    if predicts == "F" and not isinstance(sde, VESDE):
        raise VdiffError("predicts is F, which is for the schedules edm and ve.")
    if levels == "auto":
        levels = 256 if len(data) == 3 else None
    spread = None if dequantisation == "uniform" else float(dequantisation)
    space = Space(tuple(data), levels, *range, logit, spread)
    clock = time or (_step(sde) if isinstance(sde, TableSDE) else lambda s: s)
    network = asked(net, device)

    def a(y: Tensor, s: Tensor, *condition: Tensor) -> Tensor:
        def timed(y: Tensor, s: Tensor) -> Tensor:
            return network(y, clock(s), *condition)

        def raw(y: Tensor, t: Tensor) -> Tensor:
            return network(y, t, *condition)

        if predicts == "F":
            return drift_of(edm_output(raw, sigma_data), sde, "x0", s_min)(y, s)
        return drift_of(timed, sde, predicts, s_min)(y, s)

    drift_of(net, sde, "x0" if predicts == "F" else predicts, s_min)  # says at once what is wrong
    return Model(sde, a, space, s_min, device=host_of(device), check=check)


def _step(sde: TableSDE) -> Callable[[Tensor], Tensor]:
    return lambda s: (s * sde.N - 1).clamp(min=0)
