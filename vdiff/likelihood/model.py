"""A diffusion model that can be asked how likely examples are, and for new ones.

model = vdiff.wrap(net, schedule="ddpm-linear", predicts="noise", data=(3, 32, 32), range=(-1, 1))
model.fit(training_images)
found = model.log_prob(images)
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.control import ControlVariates
from vdiff.diffusion.drift import Drift
from vdiff.diffusion.ode import check_gradient
from vdiff.diffusion.reverse import check_lmbd
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like
from vdiff.diffusion.times import Histogram
from vdiff.errors import VdiffError
from vdiff.likelihood.bound import OWN, OWN_STEPS, PILOT, bound, eps_t_of, fitted, times_of_one
from vdiff.likelihood.conditions import conditions_of
from vdiff.likelihood.layers import of_groups, path_weights
from vdiff.likelihood.network import check_repeats, noise_at_unit
from vdiff.likelihood.noise import Streams
from vdiff.likelihood.ode import EXACT_UP_TO, error_of, solved
from vdiff.likelihood.result import LogProb, Method
from vdiff.likelihood.sample import sample
from vdiff.likelihood.space import Space
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.stats.few import mean_and_error
from vdiff.stats.tails import Tail, tail_of

if TYPE_CHECKING:
    from vdiff.likelihood.diagnosis import Diagnosis

LEAST = 64  # examples that control variates are fitted on


class Examples(Protocol):
    """The data set that a model was trained on, where it is at hand."""

    def pick(self, n: int, rng: torch.Generator) -> Tensor:
        """At most n training examples as stored."""

    def test_examples(self, n: int | None) -> Tensor:
        """The first n test examples as stored, all of them for None."""


class Batch(NamedTuple):
    """Rows at once. of, draw: (B,) which example and which of its draws; y, log_det: its vectors
    and what is added to their log density (nats); of_rows: the drift under the conditions of rows
    (K,) of them; a: of all."""

    of: Tensor
    draw: Tensor
    y: Tensor
    log_det: Tensor
    of_rows: Callable[[Tensor], Drift]

    @property
    def a(self) -> Drift:
        return self.of_rows(torch.arange(len(self.y)))


class Model:
    """sde, a and space: the forward SDE, the drift a(y, s) or a(y, s, condition), and how data
    become vectors. s_min: the least time at which the network was trained; eps_t: where time
    distributions stop following log NSR. data: of a run of vdiff its own, else None.

    What a method returns for an example depends on the model and its last `fit`, on the example,
    its condition, the draws and the seed; not on earlier calls, the other examples, their order, or
    `batch_size` (to the network's own rounding).
    """

    given: dict[str, Any] | None = None
    """What `wrap` was called with, its clock in place of the default; `diagnose` varies it."""

    def __init__(
        self,
        sde: SDE,
        a: Callable[..., Tensor],
        space: Space,
        s_min: float,
        *,
        eps_t: float | None = None,
        device: str = "cpu",
        check: bool = True,
        data: Examples | None = None,
    ) -> None:
        self.sde, self.a, self.space, self.s_min = sde, a, space, s_min
        self.eps_t = eps_t or eps_t_of(sde, s_min)
        self.device, self.check, self.data = device, check, data
        self.controls: ControlVariates | None = None
        self.fitted_on = "nothing"
        self._repeats = False  # whether the network is known to say the same twice

    def drift(self, condition: Any = None, rows: Tensor | None = None) -> Drift:
        """The drift a(y, s), like y (B, ...), of examples whose condition is that, or `rows` of it;
        the network runs on its own device."""
        own = conditions_of(condition)
        own = own if rows is None else own[rows]

        def a(y: Tensor, s: Tensor) -> Tensor:
            more = own.of_batch(len(y), self.device)
            y_s = y.to(self.device), s.to(self.device)
            return self.a(*y_s, *more.given, **more.named).to(y)

        return a

    def score(self, y: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        """grad log q_s at y (B, ...) and s (B,), like y: a / g."""
        return self.drift(condition)(y, s) / expand_like(self.sde.g(s).to(y.dtype), y)

    def test_examples(self, n: int | None = None) -> Tensor:
        """The first n test examples of a run's own data, all for None. Raises VdiffError for a
        model that has none."""
        return self._data().test_examples(n)

    def fit(
        self,
        x: Any = None,
        condition: Any = None,
        *,
        seed: int = 0,
        batch_size: int = 256,
    ) -> "Model":
        """Fit the control variates on training examples x, (N, ...) or batches of them, at least 64
        in all: they lower the variance of `log_prob` and leave its mean as it is. Without x on the
        training data of a run, or, where there are none, on 256 samples of the model's own, under
        the first 256 conditions if there are any; what asks a model that is not fitted does so.
        Returns the model itself.

        Raises VdiffError where the network is certainly not what it is said to be, as with a wrong
        schedule, range or prediction, and warns where it is likely not: `diagnose` says more. Only
        x that are not samples of its own are checked.
        """
        from vdiff.likelihood.diagnosis import check  # which varies models, and so imports this

        own = x is None and self.data is None
        if own:
            condition = conditions_of(condition)
            many = min(OWN, condition.count or OWN)
            condition = condition[:many]
            x = self.sample(many, condition, steps=OWN_STEPS, seed=seed, batch_size=batch_size)
        elif x is None:
            x = self._data().pick(PILOT, generator("pilot", seed))
        elif isinstance(x, Iterable) and not isinstance(x, Tensor | np.ndarray | list):
            x = torch.cat([self.space.examples(part) for part in x])
        x = self.space.examples(x)
        if len(x) < LEAST:
            raise VdiffError(
                f"There are {len(x)} examples to fit on; there must be at least {LEAST}."
            )
        condition = conditions_of(condition, len(x))
        self._check_repeats(condition)
        rng, every = generator("fit", seed), torch.arange(len(x))
        y, _ = self._vectors(x, every, Streams(x, "fit", seed))
        chunked = self._in_turn(condition, batch_size)
        if self.check and not own:
            check(self, x, condition, seed, batch_size)
        self.controls = fitted(self.sde, chunked, y, rng, self.eps_t, len(y))
        self.fitted_on = f"{len(x)} {'samples of its own' if own else 'examples'}"
        return self

    def diagnose(
        self, x: Any, condition: Any = None, *, seed: int = 0, batch_size: int = 256
    ) -> "Diagnosis":
        """Whether the network is what it is said to be, by how it denoises examples x (N, ...), at
        least 32: sentences, and a table of noise levels with errors and the nats spent there.
        Raises VdiffError when x does not fit."""
        from vdiff.likelihood.diagnosis import diagnose

        return diagnose(self, x, condition, seed=seed, batch_size=batch_size)

    def draws(
        self,
        x: Any,
        condition: Any = None,
        *,
        draws: int = 32,
        batch_size: int = 256,
        seed: int = 0,
        progress: bool = False,
    ) -> np.ndarray:
        """The single draws of the bound, (N, draws) nats, columns in the strata of
        `vdiff.stats.few.strata`; each has the bound as its mean."""
        x = self.space.examples(x)
        self._check_repeats(condition)
        controls = self._controls(condition, batch_size)
        return self._bounds(controls, x, condition, draws, batch_size, seed, progress)

    def log_prob(
        self,
        x: Any,
        condition: Any = None,
        *,
        method: Method = "elbo",
        draws: int | None = None,
        batch_size: int = 256,
        tolerance: float = 1e-4,
        seed: int = 0,
        progress: bool = False,
    ) -> LogProb:
        """Of examples x (N, ...): grey levels, or real vectors, whose log density it then is.

        elbo: the bound of the reverse SDE (arXiv 2106.02808), by `draws` (32) of the efficient
        estimator for each; its errors are NaN for a network with conditions that is not fitted.
        ode: the likelihood of the probability-flow ODE (arXiv 2011.13456),
        another model unless the network is exact: the mean over `draws` (4) of dequantisation noise
        and of probes of its divergence, which is exact in up to 8 dimensions; its error is that of
        the draws plus the solver's (`ode.error_of`). Raises
        VdiffError when x does not fit, and for a network that the method cannot use.
        """
        x = self.space.examples(x)
        self._check_repeats(condition)
        if method == "elbo":
            z = self.draws(
                x, condition, draws=32 if draws is None else draws, batch_size=batch_size,
                seed=seed, progress=progress,
            )  # fmt: skip
            value, error = mean_and_error(z)
            return self._result(value, self._covered(error), "elbo", z, z.size, seed)
        if method != "ode":
            raise VdiffError(f"The method is {method!r}; it must be elbo or ode.")
        random = self.space.levels is not None or self.space.d > EXACT_UP_TO
        count = (4 if random else 1) if draws is None else draws
        z, change, evaluations = self._solutions(
            x, condition, count, tolerance, batch_size, seed, progress
        )
        if not random:
            error = error_of(change.mean(1), tolerance)
            return self._result(z.mean(1), error, "ode", z, evaluations, seed)
        value, error = mean_and_error(z, np.zeros(count, int))
        error = error + error_of(change.mean(1), tolerance)
        return self._result(value, error, "ode", z, evaluations, seed)

    def minus(
        self,
        other: "Model",
        x: Any,
        condition: Any = None,
        *,
        draws: int = 32,
        batch_size: int = 256,
        seed: int = 0,
    ) -> LogProb:
        """The bound of this model less that of another, example by example, on the same noise;
        at the same times too where both have the same SDE, else at the same quantiles of their own
        time distributions. Errors are those of the draws. Raises VdiffError when the models differ
        in their space."""
        x = self.space.examples(x)
        if self.space != other.space:
            raise VdiffError(f"The models differ in their data: {self.space} and {other.space}.")
        models, z = (self, other), []
        for model in models:
            model._check_repeats(condition)
        both = [model._controls(condition, batch_size) for model in models]
        for model, controls in zip(models, both, strict=True):
            z.append(
                model._bounds(shared(controls, *both), x, condition, draws, batch_size, seed, False)
            )
        value, error = mean_and_error(z[0] - z[1])
        error = self._covered(other._covered(error))
        return self._result(value, error, "elbo", z[0] - z[1], 2 * z[0].size, seed)

    def discrete(
        self,
        x: Any,
        condition: Any = None,
        *,
        draws: int = 8,
        repeats: int = 4,
        layers: int = 100,
        batch_size: int = 256,
        seed: int = 0,
        progress: bool = False,
    ) -> LogProb:
        """Of the model that `layers` steps of the sampler `exponential` are: a bound on the log
        probability of grey levels, or on the log density of vectors, by `draws` paths that share
        their weights (importance-weighted autoencoders, arXiv 1509.00519). It rises with the draws.
        The value is the mean of `repeats` such bounds, and the error that of this mean; NaN of
        one."""
        x = self.space.examples(x)
        self._check_repeats(condition)
        _at_least(draws, 1, "draws")
        _at_least(repeats, 1, "repeats")
        paths = draws * repeats
        of_paths = Streams(x.repeat_interleave(paths, 0), "layers", seed)
        parts = []
        for b in self._batches(x, condition, paths, batch_size, "discrete", seed, progress):
            row = b.of * paths + b.draw

            def noise(y: Tensor, row: Tensor = row) -> Tensor:
                return of_paths.normal(row, self.space.shape, "layers", y.dtype)

            parts.append(path_weights(self.sde, b.a, b.y, layers, noise) + b.log_det)
        log_w = torch.cat(parts).reshape(len(x), paths)
        z = of_groups(log_w, draws).numpy()
        value, error = mean_and_error(z, np.zeros(repeats, int))
        return self._result(value, error, "layers", z, log_w.numel() * layers, seed, draws)

    def sample(
        self,
        n: int,
        condition: Any = None,
        *,
        sampler: str = "multistep",
        grid: str = "log_snr",
        steps: int = 30,
        lmbd: float = 0.0,
        seed: int = 0,
        batch_size: int = 256,
    ) -> Tensor:
        """n examples, as `log_prob` takes them, of the member lmbd of the family; sample k depends
        on k, its condition and the seed alone."""
        _at_least(n, 1, "n")
        check_lmbd(lmbd)
        condition = conditions_of(condition, n)
        how, parts = SimpleNamespace(sampler=sampler, grid=grid, steps=steps), []
        for rows in torch.arange(n).split(batch_size):
            index = range(int(rows[0]), int(rows[-1]) + 1)
            a = self.drift(condition, rows)
            y = sample(self.sde, a, self.space.shape, index, how, lmbd, seed)
            parts.append(self.space.of_vectors(y))
        return torch.cat(parts)

    def _data(self) -> Examples:
        if self.data is None:
            raise VdiffError("The model has no data with it; give examples, as in fit(x).")
        return self.data

    def _check_repeats(self, condition: Any) -> None:
        """Once a model: whether its network gives the same at the same input."""
        if not self._repeats:
            first = conditions_of(condition)[:1]
            check_repeats(
                lambda n: self.drift(first, torch.zeros(n, dtype=torch.int64)),
                self.sde, self.space.shape,
            )  # fmt: skip
            self._repeats = True

    def _controls(self, condition: Any, batch_size: int) -> ControlVariates:
        """Those of the last fit. Where there was none, the model is fitted on what it has itself;
        under conditions it cannot be, for it does not know which there are, and a guess serves."""
        if self.controls is None and condition is None:
            self.fit(batch_size=batch_size)
        if self.controls is None:
            return ControlVariates.without_data(
                self.sde, self.space.d, *self.space.guess, self.eps_t
            )
        return self.controls

    def _covered(self, error: np.ndarray) -> np.ndarray:
        """Errors of a bound by the model's controls: by a guess they cover too seldom, so that they
        are said not to be known."""
        return error if self.controls is not None else np.full_like(error, np.nan)

    def _of_rows(self, condition: Any, of: Tensor) -> Callable[[Tensor], Drift]:
        """The drift for rows (K,) of those whose examples are `of`."""
        return lambda rows: self.drift(condition, of[rows])

    def _in_turn(self, condition: Any, batch_size: int) -> Drift:
        """The drift of as many rows as there are conditions, `batch_size` of them at once."""

        @torch.no_grad()
        def a(y: Tensor, s: Tensor) -> Tensor:
            rows = torch.arange(len(y)).split(batch_size)
            return torch.cat([self.drift(condition, k)(y[k], s[k]) for k in rows])

        return a

    def _vectors(self, x: Tensor, of: Tensor, noise: Streams) -> tuple[Tensor, Tensor]:
        """Vectors of the examples of[k], and what is added to their log density, float64."""
        u = None
        if self.space.levels is not None:
            u = noise.uniform(of, self.space.shape, "dequantisation")
        y, log_det = self.space.vectors(x[of], u)
        return y if u is None else y.float(), log_det.double() + self.space.log_cell

    def _batches(
        self,
        x: Tensor,
        condition: Any,
        draws: int,
        batch_size: int,
        name: str,
        seed: int,
        progress: bool,
    ) -> Iterator[Batch]:
        _at_least(batch_size, 1, "batch_size")
        condition = conditions_of(condition, len(x))
        noise = Streams(x, "vectors", seed)
        with bar(len(x) * draws, name, unit="draw", silent=not progress) as shown:
            for rows in torch.arange(len(x) * draws).split(batch_size):
                of = rows // draws
                y, log_det = self._vectors(x, of, noise)
                yield Batch(of, rows % draws, y, log_det, self._of_rows(condition, of))
                shown.update(len(rows))

    def _bounds(
        self,
        controls: ControlVariates,
        x: Tensor,
        condition: Any,
        draws: int,
        batch_size: int,
        seed: int,
        progress: bool,
    ) -> np.ndarray:
        """(N, draws) nats, by those controls."""
        _at_least(draws, 2, "draws")
        (where, width), noise, parts = times_of_one(draws), Streams(x, "elbo", seed), []
        for b in self._batches(x, condition, draws, batch_size, "elbo", seed, progress):
            u = (where[b.draw] + noise.uniform(b.of, (), "times")) * width
            eps = noise.normal(b.of, self.space.shape, "eps", b.y.dtype)
            parts.append(bound(b.a, b.y, u, eps, controls) + b.log_det)
        return torch.cat(parts).numpy().reshape(len(x), draws)

    def _solutions(
        self,
        x: Tensor,
        condition: Any,
        draws: int,
        tolerance: float,
        batch_size: int,
        seed: int,
        progress: bool,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """(log_prob, change) of each draw of the ODE's, (N, draws) nats, and evaluations."""
        _at_least(draws, 1, "draws")
        noise, parts, evaluations = Streams(x, "ode", seed), [], 0
        for k, b in enumerate(
            self._batches(x, condition, draws, batch_size, "ode", seed, progress)
        ):
            if k == 0:
                first, rng = torch.arange(min(len(b.y), 4)), generator("gradient")
                y, s = noise_at_unit(self.sde, len(first), self.space.shape, rng)
                check_gradient(b.of_rows(first), y, s, rng)
            probe = None
            if self.space.d > EXACT_UP_TO:
                probe = noise.normal(b.of, self.space.shape, "probe", torch.float32)
            found = solved(self.sde, b.of_rows, b.y, probe, tolerance)
            parts.append(torch.stack([found.log_prob + b.log_det, found.change]))
            evaluations += found.evaluations
        z, change = torch.cat(parts, 1).numpy().reshape(2, len(x), draws)
        return z, change, evaluations

    def _result(
        self,
        value: np.ndarray,
        error: np.ndarray,
        method: Method,
        z: np.ndarray,
        evaluations: int,
        seed: int,
        draws: int | None = None,
    ) -> LogProb:
        tail: Tail | None = None
        if z.shape[1] > 1:
            tail = tail_of((z - z.mean(1, keepdims=True)).ravel())
        fitted_on = self.fitted_on if method == "elbo" else "nothing"
        return LogProb(
            value, error, self.space.d, method, draws or z.shape[1], evaluations, fitted_on, seed,
            tail,
        )  # fmt: skip


def shared(
    controls: ControlVariates, first: ControlVariates, second: ControlVariates
) -> ControlVariates:
    """The controls with the mean of two time distributions, where these are over the same times;
    else as they are."""
    one, two = first.law, second.law
    if first.base != second.base or len(one.weights) != len(two.weights):
        return controls
    weights = (one.weights / one.weights.mean() + two.weights / two.weights.mean()) / 2
    return replace(controls, law=Histogram(controls.base, weights))


def _at_least(value: int, least: int, name: str) -> None:
    if value < least:
        raise VdiffError(f"{name} is {value}; it must be at least {least}.")
