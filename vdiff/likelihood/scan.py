"""How well a network denoises: level by level, told other times, and under other claims.

The measure of all is what a squared error costs. In log SNR the bound is

    -log p(x) <= const + int |xhat - x|^2 / (2 nsr) d log(nsr)   nats

(arXiv 2107.00630), so that a difference of errors over 2 nsr d is nats per dimension and unit of
log SNR, and its integral a difference of bounds.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from vdiff.diffusion.denoise import xhat
from vdiff.diffusion.predictions import PREDICTS
from vdiff.diffusion.reverse import Reverse
from vdiff.likelihood.conditions import Conditions
from vdiff.likelihood.network import modules_of
from vdiff.likelihood.noise import Streams
from vdiff.likelihood.wrap import SCHEDULES, wrap

if TYPE_CHECKING:
    from vdiff.likelihood.model import Model

SHIFTS = (-3.0, -1.5, -0.75, -0.35, 0.35, 0.75, 1.5, 3.0)
"""Of log NSR, by which the time that a network is told is moved."""
ENDS = 0.003, 0.999  # of the range of log NSR, between which levels lie
MIDDLE, OTHERS = (-7.0, 3.0), 5  # log NSR where claims differ, and levels in it
LEAST, NUMBERS = 32, 4096  # examples asked about at least, numbers in them at most
VARIANCES = 2**24  # numbers that variances of coordinates are taken of, at most
CLOCKS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "the default": None,
    "s": lambda s: s,
    "1000 s": lambda s: (1000 * s).clamp(max=999),
    "log(s) / 4": lambda s: s.log() / 4,
}
RANGES = ((-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (0.0, 255.0))


@dataclass(frozen=True)
class Probe:
    """What models are asked: vectors y (n, ...), their conditions and noise eps like y; var (d,):
    of each coordinate of the data; batch_size: how many are asked at once."""

    y: Tensor
    eps: Tensor
    condition: Conditions
    var: np.ndarray
    batch_size: int

    @classmethod
    def of(
        cls, model: "Model", x: Tensor, condition: Conditions, seed: int, batch_size: int,
        most: int = 256,
    ) -> "Probe":  # fmt: skip
        """Of examples x (N, ...), at most `most`, and fewer of many dimensions: each says more."""
        every, x = torch.arange(len(x)), x[: max(most, VARIANCES // model.space.d)]
        y = model._vectors(x, Streams(x, "scan", seed), batch_size)
        n = min(len(y), most, max(LEAST, NUMBERS // model.space.d))
        eps = Streams(x[:n], "scan eps", seed).normal(every[:n], y.shape[1:], "eps", y.dtype)
        var = y.double().var(0, correction=0).numpy().ravel()
        return cls(y[:n], eps, condition[:n], var, batch_size)

    @torch.no_grad()
    def denoised(self, model: "Model", log_nsr: float) -> Tensor:
        """x-hat at a level, like y."""
        s = model.sde.invert_log_nsr(torch.full((len(self.y),), log_nsr, dtype=torch.float64))
        a = model._in_turn(self.condition, self.batch_size)
        return xhat(Reverse(model.sde, a, 0.0), model.sde.perturb(self.y, s, self.eps), s)

    def errors(self, model: "Model", levels: np.ndarray) -> np.ndarray:
        """Mean squared errors of a coordinate of x-hat at levels of log NSR, (L,); NaN where the
        model has no such level."""
        low, high = ends(model)
        return np.array([
            float((self.denoised(model, v) - self.y).double().square().mean())
            if low - 1e-9 <= v <= high + 1e-9 else np.nan
            for v in levels.tolist()
        ])  # fmt: skip

    def linear(self, levels: np.ndarray) -> np.ndarray:
        """Those of the linear denoiser that knows each coordinate's mean and variance, (L,)."""
        nsr = np.exp(levels)[:, None]
        return (nsr * self.var / (nsr + self.var)).mean(1)

    def gained(self, error: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Nats per dimension by which errors (..., L) at even levels beat the linear denoiser; a
        level at which they do not counts 0, so that where a network is bad does not decide."""
        better = (self.linear(levels) - error).clip(min=0) / (2 * np.exp(levels))
        return np.nanmean(better, -1) * (levels[-1] - levels[0])


def ends(model: "Model") -> tuple[float, float]:
    """Log NSR at the least time and the last."""
    low, high = model.sde.log_nsr(torch.tensor([model.s_min, model.sde.T], dtype=torch.float64))
    return float(low), float(high)


def spread_levels(model: "Model", many: int) -> np.ndarray:
    """Levels of log NSR even over the model's range, (many,)."""
    low, high = ends(model)
    return low + np.linspace(*ENDS, many) * (high - low)


@contextmanager
def asked_again(model: "Model") -> Iterator[Callable[..., "Model"]]:
    """Inside, a function that wraps the same network with other arguments."""
    given = model.given
    assert given is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when the model was wrapped
        yield lambda **keys: wrap(**{**given, **keys})


def shifted(model: "Model", again: Callable[..., "Model"], shift: float) -> "Model":
    """The model whose network is told the time at which log NSR is larger by `shift`."""
    sde, (low, high), given = model.sde, ends(model), model.given
    assert given is not None
    if given["predicts"] == "F":  # EDM's time is log(sigma) / 4, and log NSR = 2 log(sigma)
        low, high = low / 8, high / 8

        def net(y: Tensor, t: Tensor, *more: Any, **named: Any) -> Any:
            return given["net"](y, (t + shift / 8).clamp(low, high), *more, **named)

        return again(net=net)

    def clock(s: Tensor) -> Tensor:
        moved = (sde.log_nsr(s.double()) + shift).clamp(low, high)
        return given["time"](sde.invert_log_nsr(moved))

    return again(time=clock)


def by_shift(model: "Model", probe: Probe, levels: np.ndarray) -> np.ndarray:
    """Errors when the network is told times shifted by SHIFTS, y as it is, (len(SHIFTS), L)."""
    with asked_again(model) as again:
        return np.stack([probe.errors(shifted(model, again, v), levels) for v in SHIFTS])


class Remembering:
    """A network that is not asked the same twice, under the same conditions row by row."""

    def __init__(self, net: Callable[..., Any]) -> None:
        self.net = net
        self._known: list[tuple[Tensor, Tensor, Any]] = []

    def __call__(self, y: Tensor, t: Tensor, *more: Any, **named: Any) -> Any:
        for y0, t0, out in self._known:
            if t0.dtype == t.dtype and torch.equal(t0, t) and torch.equal(y0, y):
                return out
        out = self.net(y, t, *more, **named)
        self._known.append((y, t, out))
        return out


@dataclass(frozen=True)
class Claim:
    """What a network may be said to be. changed: what differs from what it is said to be; gain:
    nats per dimension by which its bound is better; compared where both have levels."""

    changed: dict[str, Any]
    gain: float


def claims(model: "Model", x: Tensor, probe: Probe, full: bool = True) -> list[Claim]:
    """All named schedules, predictions and times, and ranges, the best first; unless full the
    predictions alone, which share their 5 passes."""
    given = model.given
    assert given is not None
    low, high = ends(model)
    levels = np.linspace(max(low, MIDDLE[0]), min(high, MIDDLE[1]), OTHERS)
    own, tried = probe.errors(model, levels), []

    def gain(other: "Model", there: Probe) -> float:
        error = there.errors(other, levels)
        known = np.where(np.isfinite(error), own, np.nan)
        if np.isfinite(known).sum() < len(levels) / 2:
            return -np.inf
        return float(there.gained(error, levels) - probe.gained(known, levels))

    with asked_again(model) as again:
        inside = (p for m in modules_of(given["net"]) for p in m.modules())
        # An index beyond an embedding's end would end the process on a GPU.
        fixed = not full or any(isinstance(p, nn.Embedding) for p in inside)
        clocks = {} if fixed else CLOCKS
        for schedule in (given["schedule"], *(SCHEDULES if full else ())):
            net = Remembering(given["net"])
            own_or_default = dict(list(clocks.items())[:1])  # for all clocks would be too many
            times = clocks if schedule == given["schedule"] else own_or_default
            for name, time in {"": given["time"], **times}.items():
                for predicts in (*(p for p in PREDICTS if p != "drift"), "F"):
                    changed: dict[str, Any] = {}
                    if schedule != given["schedule"]:
                        changed["schedule"] = schedule
                    if name:
                        changed["time"] = name
                    if predicts != given["predicts"]:
                        changed["predicts"] = predicts
                    keys = {**changed, "time": time, "net": net}
                    if "schedule" in changed:
                        keys["s_min"] = None
                    with suppress(Exception):  # as a network says that it is not made for them
                        tried.append(Claim(changed, gain(again(**keys), probe)))
        if full and model.space.levels is not None:
            for logit, range in [(True, given["range"]), *((False, r) for r in RANGES)]:
                changed = {"range": range, "logit": logit}
                other = again(**changed)
                own_scale = Probe.of(other, x, probe.condition, 0, probe.batch_size, len(probe.y))
                tried.append(Claim(changed, gain(other, own_scale)))
    return sorted(tried, key=lambda c: (-c.gain, len(c.changed)))
