"""The likelihood of any diffusion model: a network, its schedule, and what it predicts.

model = vdiff.wrap(net, schedule="ddpm-linear", predicts="noise", data=(3, 32, 32), range=(-1, 1))
found = model.log_prob(images)
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.bits import dequantise, to_real, to_unit
from vdiff.diffusion.control import ControlVariates, GaussianReference, efficient, fit_controls
from vdiff.diffusion.discrete import log_mean_exp, log_weight
from vdiff.diffusion.drift import Drift, checked, in_float64
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.ode import log_likelihood
from vdiff.diffusion.predictions import edm_output, score_of
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.samplers import sampler_of
from vdiff.diffusion.sde import SDE, at
from vdiff.diffusion.sdes.flow import FlowSDE
from vdiff.diffusion.sdes.table import TableSDE, cosine, linear, scaled_linear, zero_terminal_snr
from vdiff.diffusion.sdes.ve import VESDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.stepping import noise_of
from vdiff.diffusion.tensors import expand_like, sum_features
from vdiff.errors import VdiffError
from vdiff.machine.devices import host_of
from vdiff.machine.seeds import generator
from vdiff.stats.few import mean_and_error, strata

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

EXACT_UP_TO = 8  # dimensions in which the ODE's divergence is taken exactly
WORSE = 1.5  # times the squared error of a linear denoiser, above which a network is none
SLIPS = 0.05  # of the noise's variance, that a network may miss
LEVELS = (0.003, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999)  # of log NSR, at which a denoiser is checked

Network = Callable[..., Tensor]
Method = Literal["elbo", "ode"]
LEAST = 64  # examples that control variates are fitted on


class Scores(NamedTuple):
    """(N,) each: log probabilities in nats and their errors, and the same as bits/dim; value ± 1.96
    error covers the bound of an example in 95% of cases. For the method ode, the error is the
    change when the solver's tolerance is ten times as loose."""

    value: np.ndarray
    error: np.ndarray
    bits_per_dim: np.ndarray
    bits_error: np.ndarray


class Space(NamedTuple):
    """How data become the vectors that the network sees.

    shape: of an example; levels: grey levels, None for real vectors, which are taken as they are;
    low, high: the network's range of grey levels; logit: the transform of `bits.to_real` instead;
    spread: None for uniform dequantisation, else the standard deviation of a truncated normal one,
    in grey levels (arXiv 2305.03935).
    """

    shape: tuple[int, ...]
    levels: int | None
    low: float = -1.0
    high: float = 1.0
    logit: bool = False
    spread: float | None = None

    @property
    def d(self) -> int:
        return math.prod(self.shape)

    def check(self, x: Tensor) -> None:
        """Raise VdiffError unless x are examples."""
        kind = "grey levels, uint8" if self.levels else "real numbers, floating"
        right = x.dtype == torch.uint8 if self.levels else x.is_floating_point()
        if not right or x.shape[1:] != torch.Size(self.shape) or not len(x):
            raise VdiffError(
                f"x is {x.dtype} of shape {tuple(x.shape)}; it must be {kind}, of shape (N, "
                f"{', '.join(map(str, self.shape))})."
            )
        if self.levels and int(x.max()) >= self.levels:
            raise VdiffError(f"x has the grey level {int(x.max())}; levels is {self.levels}.")
        if not self.levels and not torch.isfinite(x).all():
            raise VdiffError("x holds values that are not finite.")

    def vectors(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(y, log_det): vectors and what is added to their log density to bound the log probability
        of the grey levels, (B,) float64 nats; for real vectors themselves and 0."""
        if self.levels is None:
            return x, torch.zeros(len(x), dtype=torch.float64)
        u = torch.rand(x.shape, generator=rng, dtype=torch.float64)
        log_q = torch.zeros(len(x), dtype=torch.float64)
        if self.spread is not None:
            half = math.erf(0.5 / self.spread / math.sqrt(2))  # the mass within half a level
            v = math.sqrt(2) * torch.erfinv((2 * u - 1) * half)
            u = (0.5 + self.spread * v).clamp(0, 1 - 1e-12)
            log_q = sum_features(-v.square() / 2)
            log_q = log_q - self.d * (math.log(self.spread * math.sqrt(2 * math.pi) * half))
        unit = dequantise(x, u, self.levels)
        if self.logit:
            y, log_det = to_real(unit)
        else:
            width = self.high - self.low
            y, log_det = self.low + width * unit, torch.tensor(self.d * math.log(width)).double()
        return y.float(), log_det - log_q - self.d * math.log(self.levels)

    def examples(self, y: Tensor) -> Tensor:
        """Vectors as examples again."""
        if self.levels is None:
            return y
        unit = to_unit(y) if self.logit else (y - self.low) / (self.high - self.low)
        return (unit * self.levels).floor().clamp(0, self.levels - 1).to(torch.uint8)


class Wrapped:
    """Any diffusion model with a known schedule; made by `wrap`."""

    def __init__(
        self,
        sde: SDE,
        score: Callable[..., Tensor],
        space: Space,
        s_min: float,
        device: str = "cpu",
        check: bool = True,
    ) -> None:
        self.sde, self.space, self.s_min, self.device = sde, space, s_min, device
        self._score, self.check = score, check
        self._controls: ControlVariates | None = None

    def score(self, y: Tensor, s: Tensor, condition: Tensor | None = None) -> Tensor:
        """The score at y (B, ...) and s (B,), like y; the network runs on its own device."""
        more = () if condition is None else (condition.to(self.device),)
        return self._score(y.to(self.device), s.to(self.device), *more).to(y)

    def drift(self, condition: Tensor | None = None, rows: Tensor | None = None) -> Drift:
        """a = g * score, of examples whose condition is that, or `rows` of it."""
        own = condition if condition is None or rows is None else condition[rows]

        def a(y: Tensor, s: Tensor) -> Tensor:
            return expand_like(self.sde.g(s).to(y.dtype), y) * self.score(y, s, own)

        return a

    def fit(self, x: Tensor, condition: Tensor | None = None, seed: int = 0) -> "Wrapped":
        """Check the denoiser on examples x (N, ...), at least 64, and fit the control variates:
        they lower the variance and leave the mean as it is. Raises VdiffError where the network
        denoises worse than a guess would, as with a wrong schedule, range or prediction."""
        self.space.check(x)
        if len(x) < LEAST:
            raise VdiffError(
                f"There are {len(x)} examples to fit on; there must be at least {LEAST}."
            )
        rng = generator("wrap", seed)
        y, _ = self.space.vectors(x, rng)
        if self.check:
            self._check(y, condition, rng)
        reference = GaussianReference.fit(self.sde, y)
        a = checked(self.drift(condition))
        with torch.no_grad():
            self._controls = fit_controls(a, y, reference, rng, self._eps_t)
        return self

    @property
    def _eps_t(self) -> float:
        """Where time distributions stop following log NSR: sigma / m = 0.01, or where nets do."""
        return max(self.s_min, float(self.sde.invert_log_nsr(at(math.log(1e-4)))))

    @torch.no_grad()
    def _check(self, y: Tensor, condition: Tensor | None, rng: torch.Generator) -> None:
        """A denoiser is at least as good as the linear one that knows the data's mean and variance
        alone, with a squared error of nsr v / (nsr + v)."""
        ends = self.sde.log_nsr(torch.tensor([self.s_min, self.sde.T], dtype=torch.float64))
        mean = y.mean(0, keepdim=True)
        spread = float((y - mean).square().mean())
        for level in LEVELS:
            s = self.sde.invert_log_nsr(ends[0] + level * (ends[1] - ends[0]))
            many = s.expand(len(y))
            noisy = self.sde.perturb(y, many, torch.randn(y.shape, generator=rng, dtype=y.dtype))
            score = self.score(noisy, many, condition)
            guess = (noisy + float(self.sde.var(s)) * score) / float(self.sde.m(s))
            error = float((guess - y).square().mean())
            nsr = float(self.sde.log_nsr(s).exp())
            linear = nsr * spread / (nsr + spread)
            # What is small for a network that predicts the noise is large as an error of x.
            if not error <= max(WORSE * linear, SLIPS * nsr):
                raise VdiffError(
                    f"At the noise level sigma / m = {nsr**0.5:.3g} the network denoises with a "
                    f"root mean square error of {error**0.5:.3g}, where a straight line would have "
                    f"{linear**0.5:.3g}: the schedule, what it predicts, the range or its time are "
                    "not what it was trained with, or it was hardly trained "
                    "(check=False goes on regardless)."
                )

    def log_prob(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        *,
        method: Method = "elbo",
        draws: int = 32,
        batch_size: int = 256,
        tolerance: float = 1e-4,
        seed: int = 0,
    ) -> Scores:
        """Of examples x (N, ...): grey levels (uint8) or real vectors. elbo: the bound of the
        reverse SDE by `draws` of the efficient estimator for each; ode: the likelihood of the
        probability-flow ODE, another model unless the network is exact. Without a `fit` before,
        the controls are fitted on x. Raises VdiffError when x does not fit."""
        self.space.check(x)
        if method == "elbo":
            value, error = mean_and_error(self._draws(x, condition, draws, batch_size, seed))
        elif method == "ode":
            value, loose = (
                self._ode(x, condition, t, batch_size, seed) for t in (tolerance, 10 * tolerance)
            )
            error = np.abs(value - loose)
        else:
            raise VdiffError(f"The method is {method!r}; it must be elbo or ode.")
        return self._scores(value, error)

    def _scores(self, value: np.ndarray, error: np.ndarray) -> Scores:
        bits = self.space.d * math.log(2)
        return Scores(value, error, -value / bits, error / bits)

    def minus(
        self,
        other: "Wrapped",
        x: Tensor,
        condition: Tensor | None = None,
        *,
        draws: int = 32,
        batch_size: int = 256,
        seed: int = 0,
    ) -> Scores:
        """The bound of this model minus that of another on the same examples, noise and times,
        example by example; the models share their space. Errors are those of the noise alone."""
        self.space.check(x)
        if self.space != other.space:
            raise VdiffError(f"The models differ in their data: {self.space} and {other.space}.")
        own, theirs = (m._draws(x, condition, draws, batch_size, seed) for m in (self, other))
        value, error = mean_and_error(own - theirs)
        return self._scores(value, error)

    def _draws(
        self, x: Tensor, condition: Tensor | None, draws: int, batch_size: int, seed: int
    ) -> np.ndarray:
        """(N, draws) nats."""
        if draws < 2:
            raise VdiffError(f"draws is {draws}; an error needs at least 2.")
        if self._controls is None:
            self.fit(repeated(x), None if condition is None else repeated(condition))
        assert self._controls is not None
        where = torch.from_numpy(strata(draws))
        width = 1 / float(where[-1] + 1)
        rng, found = generator("log_prob", seed), []
        for row in torch.arange(len(x) * draws).split(batch_size):
            y, log_det = self.space.vectors(x[row // draws], rng)
            eps = torch.randn(y.shape, generator=rng, dtype=y.dtype)
            u = torch.rand(len(row), generator=rng, dtype=torch.float64)
            a = checked(self.drift(condition, row // draws))
            u = (where[row % draws] + u) * width
            with torch.no_grad():
                found.append((efficient(a, y, u, eps, self._controls).value + log_det).numpy())
        return np.concatenate(found).reshape(len(x), draws)

    def _ode(
        self, x: Tensor, condition: Tensor | None, tolerance: float, batch_size: int, seed: int
    ) -> np.ndarray:
        rng, found = generator("ode", seed), []
        for row in torch.arange(len(x)).split(batch_size):
            y, log_det = self.space.vectors(x[row], rng)
            probe = None
            if self.space.d > EXACT_UP_TO:
                probe = torch.randn(y.shape, generator=rng, dtype=torch.float64).sign()
            a = self.drift(condition, row)
            log_prob = log_likelihood(self.sde, a, y, probe, tolerance).log_prob
            found.append((log_prob + log_det).numpy())
        return np.concatenate(found)

    def discrete(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        *,
        draws: int = 8,
        layers: int = 100,
        batch_size: int = 256,
        seed: int = 0,
    ) -> Scores:
        """Of the model that `layers` steps of the sampler `exponential` are, by that many weighted
        paths: for grey levels a bound on their probability, which rises with the draws. The
        error is that of the mean of single paths, and says how far the draws scatter."""
        self.space.check(x)
        times, rng = grid_of("log_snr", self.sde, layers), generator("discrete", seed)
        w = []
        with torch.no_grad():
            for row in torch.arange(len(x)).split(batch_size):
                a = checked(self.drift(condition, row))
                each = []
                for _ in range(draws):
                    y, log_det = self.space.vectors(x[row], rng)
                    each.append(log_weight(self.sde, a, y.double(), times, noise_of(rng)) + log_det)
                w.append(torch.stack(each))
        log_w = torch.cat(w, 1)
        value = log_mean_exp(log_w, draws).mean(0).numpy()
        error = log_w.var(0, correction=min(draws - 1, 1)).div(draws).sqrt().numpy()
        if draws < 2:
            error = np.full(len(x), np.nan)
        return self._scores(value, error)

    def sample(
        self,
        n: int,
        condition: Tensor | None = None,
        *,
        sampler: str = "multistep",
        grid: str = "log_snr",
        steps: int = 30,
        lmbd: float = 0.0,
        seed: int = 0,
    ) -> Tensor:
        """n examples, as `log_prob` takes them."""
        rng = generator("wrap sample", seed)
        y = self.sde.prior_sd * torch.randn(
            n, *self.space.shape, generator=rng, dtype=torch.float64
        )
        with torch.no_grad():
            reverse = Reverse(self.sde, in_float64(self.drift(condition)), lmbd)
            times = grid_of(grid, self.sde, steps)
            return self.space.examples(sampler_of(sampler)(reverse, y, times, noise_of(rng), None))


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
) -> Wrapped:
    """A model from a network net(y, time) or net(y, time, condition).

    schedule: one of SCHEDULES, or an SDE of vdiff.diffusion.sdes. predicts: score, drift, noise,
    x0, v, velocity, or F of EDM's networks. data: the shape of an example. range: what the grey
    levels 0 to `levels` become, or by logit the real line; levels: 256 for shapes of images (C, H,
    W), None for real vectors, unless given. dequantisation: uniform, or the standard deviation of a
    truncated normal in grey levels. time: from the SDE's time (B,) to what the network takes, by
    default itself, for DDPM's tables the step from 0, in between a fraction. s_min: the least time
    the network was trained on. check: whether to refuse a network that denoises worse than a line
    through the data's mean. Raises VdiffError for what is none of these.
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
    if levels == "auto":
        levels = 256 if len(data) == 3 else None
    spread = None if dequantisation == "uniform" else float(dequantisation)
    space = Space(tuple(data), levels, *range, logit, spread)
    clock = time or (_step(sde) if isinstance(sde, TableSDE) else lambda s: s)
    if predicts == "F" and not isinstance(sde, VESDE):
        raise VdiffError("predicts is F, which is for the schedules edm and ve.")
    of_output = "x0" if predicts == "F" else predicts

    def score(y: Tensor, s: Tensor, *condition: Tensor) -> Tensor:
        def network(y: Tensor, t: Tensor) -> Tensor:
            """It sees float32; what comes before and after is as precise as y."""
            given = (v.to(device) for v in (y.float(), t.float(), *condition))
            return net(*given).to(y)

        def timed(y: Tensor, s: Tensor) -> Tensor:
            return network(y, clock(s))

        output = edm_output(network, sigma_data) if predicts == "F" else timed
        return score_of(output, sde, of_output, s_min)(y, s)

    score_of(net, sde, of_output, s_min)  # says at once what is wrong
    return Wrapped(sde, score, space, s_min, host_of(device), check)


def repeated(x: Tensor) -> Tensor:
    """x, each example so often that there are enough to fit on."""
    return x if len(x) >= LEAST else x.repeat_interleave(-(-LEAST // len(x)), 0)


def _step(sde: TableSDE) -> Callable[[Tensor], Tensor]:
    return lambda s: (s * sde.N - 1).clamp(min=0)
