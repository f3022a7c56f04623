"""A diffusion model that says how likely examples are, and makes new ones.

```python
model = vdiff.wrap(
    net, schedule="ddpm-linear", predicts="noise", data=(3, 32, 32), range=(-1, 1)
)
model.fit(training_images)
bound = model.log_prob(images)
```
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from numbers import Integral
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.choice import fitted
from vdiff.diffusion.control import TAIL, ControlVariates, Pilot
from vdiff.diffusion.drift import Drift, checked
from vdiff.diffusion.ending import chosen, gains, held, levels_above, rows_for
from vdiff.diffusion.ode import check_gradient
from vdiff.diffusion.reverse import check_lmbd
from vdiff.diffusion.sde import SDE, at
from vdiff.diffusion.tensors import expand_like
from vdiff.diffusion.times import Histogram
from vdiff.errors import VdiffError
from vdiff.likelihood.bound import (
    DRAWS,
    OWN,
    OWN_STEPS,
    PILOT,
    PILOT_NUMBERS,
    bound,
    eps_t_of,
    times_of_one,
)
from vdiff.likelihood.conditions import conditions_of
from vdiff.likelihood.gradient import Gradient, slope
from vdiff.likelihood.layers import of_groups, path_weights
from vdiff.likelihood.network import check_repeats, noise_at_unit
from vdiff.likelihood.noise import Streams
from vdiff.likelihood.ode import EXACT_UP_TO, error_of, solved
from vdiff.likelihood.result import FITTED, LogProb, Method
from vdiff.likelihood.sample import sample
from vdiff.likelihood.space import Space, Vectors
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.stats.few import mean_and_error
from vdiff.stats.tails import Tail, tail_of

if TYPE_CHECKING:
    from vdiff.likelihood.classify import Classified
    from vdiff.likelihood.diagnosis import Diagnosis

LEAST = 64  # examples that control variates are fitted on


class Examples(Protocol):
    """The data set that a model was trained on, where it is at hand."""

    def pick(self, n: int, rng: torch.Generator) -> Tensor:
        """At most n training examples as stored."""

    def test_examples(self, n: int | None) -> Tensor:
        """n test examples as stored, all of them for None."""


class Batch(NamedTuple):
    """Rows at once. of, draw: (B,) which example and which of its draws; x: the examples; y,
    log_det: their vectors and what is added to their log density (nats); of_rows: the drift under
    the conditions of rows (K,) of them; a: of all."""

    of: Tensor
    draw: Tensor
    x: Tensor
    y: Tensor
    log_det: Tensor
    of_rows: Callable[[Tensor], Drift]

    @property
    def a(self) -> Drift:
        return self.of_rows(torch.arange(len(self.y)))


class Model:
    """A diffusion model; `vdiff.wrap` and `vdiff.load` make it.

    What a method returns for an example depends on the model and its last `fit`, on the example,
    its condition, the draws and the seed; not on earlier calls, the other examples, their order, or
    `batch_size` (to the network's own rounding).

    A condition is what the network takes besides y and time: a tensor, array or list (N, ...), a
    row for each example, or one number for all. Several in a tuple are passed by position, in a
    dict by name.

    Arguments:
        sde: The forward SDE.
        a: The drift a(y, s) or a(y, s, condition), g times the score, for y (B, ...) and s (B,),
            like y.
        space: How data become vectors.
        s_min: The least time at which the network was trained.
        eps_t: Where time distributions stop following log NSR; by default at sigma / m = 0.01, or
            at s_min if that is later.
        device: Where `a` takes its input.
        check: Whether `fit` checks the network on the examples it is given.
        data: The data set of a run of vdiff, otherwise None.
        ends_at: The time s_0 below which a bound holds the score; None for the one that `fit` finds
            best.
    """

    learned: Callable[[], Tensor | None] = staticmethod(lambda: None)
    """What the network returned in its last call beside its output, such as a learned variance."""

    earlier: Mapping[bytes, int] = MappingProxyType({})
    """How often examples, by their digests, came before those that `log_prob` is asked for, where
    these are a part of more: a repeated example has other noise."""

    given: dict[str, Any] | None = None
    """What `wrap` was called with, its clock in place of the default; `diagnose` varies it."""

    def __init__(
        self,
        sde: SDE,
        a: Callable[..., Tensor],
        space: Vectors,
        s_min: float,
        *,
        eps_t: float | None = None,
        device: str = "cpu",
        check: bool = True,
        data: Examples | None = None,
        ends_at: float | None = None,
    ) -> None:
        self.sde, self.a, self.space, self.s_min = sde, a, space, s_min
        self.ends_at, self.s_0 = ends_at, ends_at or s_min
        self.eps_t = eps_t or eps_t_of(sde, s_min)
        self.device, self.check, self.data = device, check, data
        self.controls: ControlVariates | None = None
        self.fitted_on = "nothing"
        self._repeats = False  # whether the network is known to say the same twice
        self._pilot: tuple[Any, ...] | None = None  # what the last fit was given
        self._centred: Model | None = None

    def drift(self, condition: Any = None, rows: Tensor | None = None) -> Drift:
        """The drift a(y, s), like y (B, ...), under a condition, or under `rows` (K,) of it; the
        network runs on its own device."""
        own = conditions_of(condition)
        own = own if rows is None else own[rows]

        def a(y: Tensor, s: Tensor) -> Tensor:
            more = own.of_batch(len(y), self.device)
            y_s = y.to(self.device), s.to(self.device)
            return self.a(*y_s, *more.given, **more.named).to(y)

        return a

    def score(self, y: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        """The score, grad log q_s = a / g, at y (B, ...) and s (B,), like y."""
        return self.drift(condition)(y, s) / expand_like(self.sde.g(s).to(y.dtype), y)

    def test_examples(self, n: int | None = None) -> Tensor:
        """The first n test examples of a run's own data, or evenly spread ones of an NPZ file; all
        for None. Raises VdiffError for a model that has no data."""
        return self._data().test_examples(n)

    def fit(
        self,
        x: Any = None,
        condition: Any = None,
        *,
        seed: int = 0,
        batch_size: int = 256,
    ) -> "Model":
        """Fit the control variates, which lower the variance of `log_prob` and leave its mean as it
        is.

        Given examples, it also checks the network and finds the time at which the bound should end,
        unless `wrap` was given one (`ends_at`). A method that needs a fit and finds none calls this
        without x; under a condition it does not, and its errors are NaN.

        Arguments:
            x: Training examples (N, ...), or batches of them, at least 64 in all. By default up to
                1,024 training examples of a run, or, without data, 256 samples of the model's own.
            condition: Their conditions. Samples of its own are drawn under the first 256 of them.
            seed: Seed of the noise.
            batch_size: Examples passed to the network at once.

        Returns:
            The model itself.

        Raises:
            VdiffError: When x does not fit, or the network is certainly not what it is said to be,
                as with a wrong schedule, range or prediction (`check=False` of `wrap` goes on
                regardless).

        Warns:
            UserWarning: When the network is likely not what it is said to be; `diagnose` says more.
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
            parts = [self.space.examples(part) for part in x]
            x = torch.cat(parts) if parts else []
        x = self.space.examples(x)
        _at_least(batch_size, 1, "batch_size")
        if len(x) < LEAST:
            raise VdiffError(
                f"There are {len(x)} examples to fit on; there must be at least {LEAST}."
            )
        condition = conditions_of(condition, len(x))
        self._check_repeats(condition)
        most = max(LEAST, PILOT_NUMBERS // self.space.d)
        if len(x) > most:
            rows = torch.linspace(0, len(x) - 1, most, dtype=torch.float64).round().long()
            x, condition = x[rows], condition[rows]
        if self.check and not own:
            check(self, x, condition, seed, batch_size)
        self._pilot, self._centred = (x, condition, seed, batch_size), None
        y = self._vectors(x, Streams(x, "fit", seed), batch_size).to(self.device)

        def drift_of(rows: Tensor) -> Drift:
            return checked(self.drift(condition, rows))

        # Not on samples of its own, which a few steps have made smoother than the model's are.
        self.s_0 = self.ends_at or self.s_min
        if self.ends_at is None and not own:
            self.s_0 = self._level(drift_of, y, seed, batch_size)
        of_bound = self._ended(drift_of)
        each = max(1, min(DRAWS, PILOT_NUMBERS // self.space.d) // len(x))
        pilot = Pilot.of(
            self.sde, of_bound, y, generator("fit", seed), self.eps_t, batch_size, each=each
        )
        self.controls = fitted(self.sde, pilot)
        self.fitted_on = f"{len(x)} {'samples of its own' if own else 'examples'}"
        return self

    def diagnose(
        self, x: Any, condition: Any = None, *, seed: int = 0, batch_size: int = 256
    ) -> "Diagnosis":
        """Whether the network is what it is said to be, by how it denoises examples.

        Arguments:
            x: Examples (N, ...), at least 32.
            condition: Their conditions.
            seed: Seed of the noise.
            batch_size: Examples passed to the network at once.

        Returns:
            What was found, in sentences, and a table of noise levels with the errors and the nats
            spent at each.

        Raises:
            VdiffError: When x does not fit.
        """
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
        """The single draws behind `log_prob` by elbo, (N, draws) nats. Columns fall into the strata
        of `vdiff.stats.few.strata`; averaged within strata and then over them, they estimate the
        bound without bias. Arguments and errors raised are those of `log_prob`."""
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
        """The log likelihood of examples: the log probability of grey levels, or the log density of
        real vectors.

        - `elbo` is the bound of the reverse SDE (arXiv 2106.02808), by the efficient estimator.
        - `ode` is the likelihood of the probability-flow ODE (arXiv 2011.13456), another model
          unless the network is exact. It is the mean over draws of dequantisation noise and of
          probes of the divergence, which is exact in up to 8 dimensions; its error is that of the
          draws plus the solver's (`vdiff.likelihood.ode.error_of`).
        - `vdm` is VDM's bound with its categorical decoder (arXiv 2107.00630), for grey levels. It
          ends at `ends_at` if `wrap` was given it, otherwise where sigma / m is a sixth of the
          distance between two levels, as VDM does, or at s_min if that is later.

        Arguments:
            x: Examples (N, ...): grey levels, integers from 0 to levels - 1, or real vectors,
                floating.
            condition: Their conditions.
            method: elbo, ode or vdm.
            draws: Draws per example. For elbo and vdm 32 by default, and at least 2. For ode 4 by
                default, with an error of NaN for 1, or 1 where nothing is random: for real vectors
                of up to 8 dimensions.
            batch_size: Draws passed to the network at once.
            tolerance: Relative and absolute tolerance of ode's solver, from 1e-10 to 0.01.
            seed: Seed of the noise.
            progress: Whether to show a progress bar.

        Returns:
            A value and an error for each example, in nats and in bits/dim. The errors of elbo and
            vdm are NaN under a condition if the model is not fitted.

        Raises:
            VdiffError: When an argument does not fit, or the network's output is random or not
                finite, or, for ode, it blocks gradients or the solver cannot reach the tolerance.
        """
        x = self.space.examples(x)
        self._check_repeats(condition)
        if method == "vdm":
            from vdiff.likelihood.vdm import draws_of, least

            own, each = self._at_centres(), 32 if draws is None else draws
            s_0 = least(self)
            z = draws_of(own, s_0, x, condition, each, batch_size, seed, progress)
            value, error = mean_and_error(z)
            bound = own._result(value, own._covered(error), "vdm", z, z.size, seed)
            return replace(bound, ends_at=self._noise(s_0))
        if method == "elbo":
            z = self.draws(
                x, condition, draws=32 if draws is None else draws, batch_size=batch_size,
                seed=seed, progress=progress,
            )  # fmt: skip
            value, error = mean_and_error(z)
            return self._result(value, self._covered(error), "elbo", z, z.size, seed)
        if method != "ode":
            raise VdiffError(f"The method is {method!r}; it must be elbo, ode or vdm.")
        random = self.space.random or self.space.d > EXACT_UP_TO
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
        """The bound of this model less that of another, example by example, on the same noise.

        If both have the same SDE, the times are the same too; otherwise they are the same quantiles
        of each model's own time distribution.

        Arguments:
            other: A model of the same data.
            x: Examples (N, ...), as in `log_prob`.
            condition: Their conditions, for both models.
            draws: Draws per example, at least 2.
            batch_size: Draws passed to the network at once.
            seed: Seed of the noise.

        Returns:
            Differences in nats, positive where this model's bound is higher, with the errors of the
            draws.

        Raises:
            VdiffError: When the models differ in their space, and when `log_prob` raises it.
        """
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

    def gradient(
        self,
        x: Any,
        condition: Any = None,
        *,
        draws: int = 32,
        batch_size: int = 256,
        seed: int = 0,
        progress: bool = False,
    ) -> Gradient:
        """The gradient of the bound by x, through the network, on the same noise as `log_prob`.

        Arguments:
            x: Examples (N, ...). Grey levels are differentiated as the real numbers that
                dequantisation adds noise to.
            condition: Their conditions.
            draws: Draws per example, at least 2, over which the gradient is averaged.
            batch_size: Draws passed to the network at once.
            seed: Seed of the noise.
            progress: Whether to show a progress bar.

        Returns:
            A value and an error for each coordinate, in nats per unit of x, or per grey level.

        Raises:
            VdiffError: For a network that blocks gradients, and when `log_prob` raises it.
        """
        x = self.space.examples(x)
        self._check_repeats(condition)
        of = torch.arange(len(x))
        self._check_gradient(self._of_rows(conditions_of(condition, len(x)), of), len(x))
        controls = self._controls(condition, batch_size)
        z = self._bounds(controls, x, condition, draws, batch_size, seed, progress, by_x=True)
        each = np.moveaxis(z, 1, -1)
        value, error = (v.reshape(x.shape) for v in mean_and_error(each.reshape(-1, draws)))
        return Gradient(value, self._covered(error))

    def classify(
        self,
        x: Any,
        classes: Any,
        *,
        prior: Any = None,
        draws: int = 32,
        batch_size: int = 256,
        seed: int = 0,
        progress: bool = False,
    ) -> "Classified":
        """Which of K classes examples belong to, by Bayes' rule from the bounds on log p(x | y).

        The posterior is that of the bounds: where they are not equally tight, it is not the
        model's. A network under guidance is the score of no density, so its posterior means
        nothing.

        Arguments:
            x: Examples (N, ...), as in `log_prob`.
            classes: K conditions, one for each class.
            prior: (K,) probabilities above 0 that sum to 1; by default even.
            draws: Draws per example and class, at least 2; all classes share their times and noise.
            batch_size: Draws passed to the network at once.
            seed: Seed of the noise.
            progress: Whether to show a progress bar.

        Returns:
            Bounds, posterior and marginal. Their errors are NaN if the model is not fitted.

        Raises:
            VdiffError: For fewer than two classes, a prior that is none, or a network that says the
                same under all classes, and when `log_prob` raises it.
        """
        from vdiff.likelihood.classify import classify  # which asks models, as diagnosis does

        return classify(self, x, classes, prior, draws, batch_size, seed, progress)

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
        """A bound on the likelihood of the model that steps of the sampler `exponential` define.

        It averages the weights of `draws` paths (importance-weighted autoencoders, arXiv
        1509.00519) and rises with their number.

        Arguments:
            x: Examples (N, ...), as in `log_prob`.
            condition: Their conditions.
            draws: Paths per bound, at least 1.
            repeats: Bounds per example, at least 1, of which the value is the mean.
            layers: Steps of the sampler, at least 1.
            batch_size: Paths passed to the network at once.
            seed: Seed of the noise.
            progress: Whether to show a progress bar.

        Returns:
            A bound on the log probability of grey levels, or on the log density of vectors, in
            nats; its error is that of the mean of `repeats`, NaN for one.

        Raises:
            VdiffError: When x or another argument does not fit.
        """
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

    def chain(
        self,
        x: Any,
        condition: Any = None,
        *,
        variance: Literal["small", "large", "learned"] = "small",
        draws: int | None = 32,
        clip: bool = True,
        batch_size: int = 256,
        seed: int = 0,
        progress: bool = False,
    ) -> LogProb:
        """DDPM's bound by the chain of the steps of a table, with its prior term and its
        discretised Gaussian decoder (arXiv 2006.11239).

        Arguments:
            x: Grey levels (N, ...), integers from 0 to levels - 1.
            condition: Their conditions.
            variance: Variance of a step: beta~_t (small), beta_t (large), or what a network with
                twice the channels has learned between them (arXiv 2102.09672).
            draws: Passes per example, at least 8, of which a quarter, at least 4, are of the first
                step's decoder. None for that step four times and every other twice.
            clip: Whether xhat is clipped to the values of grey levels, as in both papers' code.
            batch_size: Draws passed to the network at once.
            seed: Seed of the noise.
            progress: Whether to show a progress bar.

        Returns:
            A bound on the log probability of each example, in nats and in bits/dim.

        Raises:
            VdiffError: When x does not fit, for real vectors, for schedules without steps, and for
                a variance that the network does not have.
        """
        from vdiff.likelihood.chain import check_chain, draws_of

        x = self.space.examples(x)
        check_chain(self, variance, draws)
        own = self._at_centres()
        self._check_repeats(condition)
        if variance == "learned" and self.learned() is None:
            raise VdiffError(
                "variance is learned; the network gives no more channels than the data have, so "
                "that it must be small or large."
            )
        z, where = draws_of(own, x, condition, variance, draws, clip, batch_size, seed, progress)
        value, error = mean_and_error(z, where)
        for j in set(where):
            z[:, where == j] -= z[:, where == j].mean(1, keepdims=True)
        return own._result(value, own._covered(error), "chain", z, z.size, seed)

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
        """New examples; sample k depends on k, its condition and the seed alone.

        Arguments:
            n: Number of samples, at least 1.
            condition: Their conditions.
            sampler: euler_maruyama, exponential, multistep or stochastic_heun; heun or adaptive,
                for lmbd = 1 only.
            grid: Grid of times: uniform, quadratic or log_snr.
            steps: Steps on the grid, at least 1; adaptive chooses its own.
            lmbd: The member of the family, at most 1: 0 is the reverse SDE, 1 the probability-flow
                ODE (arXiv 2106.02808).
            seed: Seed of the noise.
            batch_size: Samples passed to the network at once.

        Returns:
            (n, ...), as `log_prob` takes them.

        Raises:
            VdiffError: When an argument is none of these, or a sample is not finite.
        """
        _at_least(n, 1, "n")
        _at_least(batch_size, 1, "batch_size")
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

    def _at_centres(self) -> "Model":
        """This model of grey levels at the centres of their cells, fitted on what this one was.
        Raises VdiffError for vectors."""
        if not isinstance(self.space, Space) or self.space.levels is None:
            raise VdiffError(
                "The examples are real vectors; vdm and chain are for grey levels, such as "
                "levels=256."
            )
        if self._centred is None:
            self._centred = copy(self)
            self._centred.space = self.space._replace(spread=0.0)
            self._centred.check, self._centred.controls = False, None
            self._centred.ends_at = self._centred.s_0 = self.s_min
            if self._pilot is not None:
                x, condition, seed, batch_size = self._pilot
                self._centred.fit(x, condition, seed=seed, batch_size=batch_size)
                self._centred.fitted_on = self.fitted_on
        return self._centred

    def _check_repeats(self, condition: Any) -> None:
        """Once a model: whether its network gives the same at the same input."""
        if not self._repeats:
            first = conditions_of(condition)[:1]
            check_repeats(
                lambda n: self.drift(first, torch.zeros(n, dtype=torch.int64)),
                self.sde, self.space.shape,
            )  # fmt: skip
            self._repeats = True

    def _check_gradient(self, of_rows: Callable[[Tensor], Drift], n: int) -> None:
        """Of the drift under the conditions of rows (K,) of n."""
        first, rng = torch.arange(min(n, 4)), generator("gradient")
        y, s = noise_at_unit(self.sde, len(first), self.space.shape, rng)
        check_gradient(of_rows(first), y, s, rng)

    def _controls(self, condition: Any, batch_size: int) -> ControlVariates:
        """Those of the last fit. Where there was none, the model is fitted on what it has itself;
        under conditions it cannot be, for it does not know which there are, and a guess serves."""
        if self.controls is None and condition is None:
            self.fit(batch_size=batch_size)
        if self.controls is None:
            return ControlVariates.without_data(
                self.sde, self.space.d, *self.space.guess, self.eps_t, self.device
            )
        return self.controls

    def _covered(self, error: np.ndarray) -> np.ndarray:
        """Errors of a bound by the model's controls: by a guess they cover too seldom, so that they
        are said not to be known."""
        return error if self.controls is not None else np.full_like(error, np.nan)

    def _level(
        self, drift_of: Callable[[Tensor], Drift], y: Tensor, seed: int, batch_size: int
    ) -> float:
        """Where the bound is to end, by a first look at some of y (N, ...)."""
        levels = levels_above(self.sde, self.s_min)
        if not levels:
            return self.s_min
        rows = rows_for(len(y), self.space.d)
        by_level = gains(
            self.sde, lambda k: drift_of(rows[k]), y[rows], levels, self.eps_t, TAIL,
            generator("level", seed), batch_size,
        )  # fmt: skip
        return chosen(by_level, levels, self.s_min, self.space.d)

    def _noise(self, s: float) -> float:
        """sigma / m at a time."""
        return float(self.sde.log_nsr(at(s)).div(2).exp())

    def _ended(self, drift_of: Callable[[Tensor], Drift]) -> Callable[[Tensor], Drift]:
        """The drift of the bound, whose score is held below s_0."""
        if self.s_0 <= self.s_min:
            return drift_of
        return lambda rows: held(drift_of(rows), self.sde, self.s_0)

    def _of_rows(self, condition: Any, of: Tensor) -> Callable[[Tensor], Drift]:
        """The drift for rows (K,) of those whose examples are `of`."""
        return lambda rows: self.drift(condition, of[rows])

    def _vectors(self, x: Tensor, noise: Streams, batch_size: int) -> Tensor:
        """Those of examples x (N, ...), one draw each."""
        rows = torch.arange(len(x)).split(batch_size)
        return torch.cat([self.space.drawn(x[k], k, noise)[0] for k in rows])

    def _in_turn(self, condition: Any, batch_size: int) -> Drift:
        """The drift of as many rows as there are conditions, `batch_size` of them at once."""

        @torch.no_grad()
        def a(y: Tensor, s: Tensor) -> Tensor:
            rows = torch.arange(len(y)).split(batch_size)
            return torch.cat([self.drift(condition, k)(y[k], s[k]) for k in rows])

        return a

    def _batches(
        self,
        x: Tensor,
        condition: Any,
        draws: int,
        batch_size: int,
        name: str,
        seed: int,
        progress: bool,
        by_x: bool = False,
    ) -> Iterator[Batch]:
        """by_x: that autograd leads from y and log_det to x."""
        _at_least(batch_size, 1, "batch_size")
        condition = conditions_of(condition, len(x))
        noise = Streams(x, "vectors", seed, earlier=self.earlier)
        with bar(len(x) * draws, name, unit="draw", silent=not progress) as shown:
            for rows in torch.arange(len(x) * draws).split(batch_size):
                of = rows // draws
                own = x[of]
                if by_x:
                    own = (own if own.is_floating_point() else own.double()).requires_grad_()
                with torch.set_grad_enabled(by_x):
                    y, log_det = self.space.drawn(own, of, noise)
                yield Batch(of, rows % draws, own, y, log_det, self._of_rows(condition, of))
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
        by_x: bool = False,
    ) -> np.ndarray:
        """(N, draws) nats, by those controls; by_x: their gradients, (N, draws, ...)."""
        _at_least(draws, 2, "draws")
        (where, width), parts = times_of_one(draws), []
        noise = Streams(x, "elbo", seed, earlier=self.earlier)
        for b in self._batches(x, condition, draws, batch_size, "elbo", seed, progress, by_x):
            u = ((where[b.draw] + noise.uniform(b.of, (), "times")) * width).to(self.device)
            eps = noise.normal(b.of, self.space.shape, "eps", b.y.dtype).to(self.device)
            a = self._ended(b.of_rows)(torch.arange(len(b.y)))
            y, log_det = b.y.to(self.device), b.log_det.to(self.device)
            if by_x:
                parts.append(slope(a, b.x, y, log_det, u, eps, controls))
            else:
                parts.append((bound(a, y, u, eps, controls) + log_det).cpu())
        z = torch.cat(parts).numpy()
        return z.reshape(len(x), draws, *z.shape[1:])

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
        noise, parts, evaluations = Streams(x, "ode", seed, earlier=self.earlier), [], 0
        for k, b in enumerate(
            self._batches(x, condition, draws, batch_size, "ode", seed, progress)
        ):
            if k == 0:
                self._check_gradient(b.of_rows, len(b.y))
            probe = None
            if self.space.d > EXACT_UP_TO:
                probe = noise.normal(b.of, self.space.shape, "probe", torch.float32)
            solution = solved(self.sde, b.of_rows, b.y, probe, tolerance)
            parts.append(torch.stack([solution.log_prob + b.log_det, solution.change]))
            evaluations += solution.evaluations
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
        fitted_on = self.fitted_on if method in FITTED else "nothing"
        held = method == "elbo" and self.s_0 > self.s_min
        ends_at = self._noise(self.s_0) if held else None
        return LogProb(
            value, error, self.space.d_x, method, draws or z.shape[1], evaluations, fitted_on, seed,
            tail, ends_at, self.space.of,
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
    if not isinstance(value, Integral) or value < least:
        raise VdiffError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
