"""A trained model in three lines of Python: how likely examples are, and new ones.

model = vdiff.load("results/demo/runs/digits/debias-True/seed-0")
found = model.log_prob(images)
images = model.sample(16)
"""

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vdiff.config import Evaluation, Likelihood, Sampling, read_run, validate
from vdiff.diffusion.drift import in_float64
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.stepping import noise_of
from vdiff.errors import VdiffError, first_line
from vdiff.files.weights import ENDING
from vdiff.machine.devices import Wanted, choose
from vdiff.machine.seeds import generator
from vdiff.model import Model
from vdiff.pretrained import names, read_pretrained
from vdiff.stats.few import mean_and_error
from vdiff.steps.evaluate import evaluate_each
from vdiff.steps.integrate import integrate
from vdiff.steps.likelihood import ode_bpd
from vdiff.steps.opening import open_model
from vdiff.steps.sample import sample_images
from vdiff.wrapped import Wrapped


class LogProb(NamedTuple):
    """In nats, (N,) each: log probabilities, and the standard errors of their estimates (elbo) or
    their change when the solver's tolerance is ten times as loose (ode)."""

    value: np.ndarray
    error: np.ndarray


class Trained:
    """The last snapshot of a run: its model, its data set and what to ask it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def test_examples(self, n: int | None = None) -> Tensor:
        """The first n of the data set's test examples, all for None, as it stores them."""
        return self.model.data.test_examples(n)

    def log_prob(
        self,
        x: Tensor,
        method: Literal["elbo", "ode"] = "elbo",
        *,
        draws: int = 32,
        pilot: int = 2048,
        tolerance: float = 1e-4,
        batch_size: int = 256,
    ) -> LogProb:
        """Of examples as the data set stores them: images (N, C, H, W) uint8, or points (N, 2).

        For points a log density. For images a bound on the log probability of the grey levels, by
        uniform dequantisation: bits/dim are -value / (d ln 2). elbo: the evidence lower bound of
        the reverse SDE, by `draws` of the efficient estimator of `vdiff evaluate` for each example;
        value ± 1.96 error covers the bound in 95% of cases, from 2 draws on (docs/reliability.md
        has where it does not: skewed draws, fewer than 32 of them).
        ode: the likelihood of the probability-flow ODE, as `vdiff likelihood` has it, another
        model unless the drift is exact. Raises VdiffError when x does not fit the data.
        """
        x, model = self._checked(x), self.model
        a = model.drift()
        nats = -model.dims * math.log(2)
        if method == "elbo":
            content = {"passes": draws, "pilot": pilot, "batch_size": batch_size}
            settings = validate(Evaluation, content, _argument)
            return LogProb(*mean_and_error(nats * evaluate_each(model, a, x, draws, settings)))
        if method != "ode":
            raise VdiffError(f"The method is {method!r}; it must be elbo or ode.")
        how = validate(Likelihood, {"tolerance": tolerance, "batch_size": batch_size}, _argument)
        z, loose = (
            nats * ode_bpd(model, a, x, t, how.batch_size)[0]
            for t in (how.tolerance, 10 * how.tolerance)
        )
        return LogProb(z, np.abs(z - loose))

    def sample(
        self,
        n: int,
        *,
        sampler: str = "multistep",
        grid: str = "log_snr",
        steps: int = 30,
        lmbd: float = 0.0,
    ) -> Tensor:
        """n images (n, C, H, W) uint8, or points (n, 2) float64. The same call gives the same ones:
        sample k is decided by the run's seed and by k alone, points by n too."""
        model, keys = self.model, {"sampler": sampler, "grid": grid, "steps": steps, "lmbd": lmbd}
        how = validate(Sampling, {**keys, "count": n, "batch_size": 256}, _argument)
        with torch.no_grad():
            if len(model.data.shape) > 1:
                return torch.from_numpy(sample_images(model, model.drift(), how).images)
            rng = generator("sample points", model.run.seed)
            x = model.sde.prior_sd * torch.randn(n, *model.data.shape, generator=rng).double()
            reverse = Reverse(model.sde, in_float64(model.drift()), lmbd)
            return integrate(reverse, x.to(model.device), how, noise_of(rng)).cpu()

    def _checked(self, x: Any) -> Tensor:
        """x, or what an array or list holds, in the data's own precision."""
        data = self.model.data
        images = len(data.shape) > 1
        try:
            x = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise VdiffError(f"x is no array of numbers: {first_line(error)}.") from None
        kind = "grey levels, uint8" if images else "points, floating"
        fits = x.dtype == torch.uint8 if images else x.is_floating_point()
        if not fits or x.ndim != 1 + len(data.shape) or x.shape[1:] != torch.Size(data.shape):
            raise VdiffError(
                f"x is {x.dtype} of shape {tuple(x.shape)}; it must be {kind}, of shape (N, "
                f"{', '.join(map(str, data.shape))})."
            )
        if len(x) == 0 or (images and int(x.max()) >= data.levels):
            raise VdiffError(
                f"x is empty or has grey levels of {data.levels} and more." if images
                else "x is empty."
            )  # fmt: skip
        if not images and not torch.isfinite(x).all():
            raise VdiffError("x holds values that are not finite.")
        return x if images else x.float()


def _argument(name: str) -> str:
    return f"The argument {'draws' if name == 'passes' else name}"


def load(
    name: str | Path, data_root: str | Path = "data", device: str = "cpu"
) -> Trained | Wrapped:
    """The model of a run folder, such as results/demo/runs/digits/debias-True/seed-0, a `Trained`;
    or a network that comes with vdiff, such as mnist-record (`vdiff.pretrained.names()`), or one in
    a file of `vdiff export-weights`, a `Wrapped`, which needs no data.

    data_root: the folder of the torchvision sets, for runs on those. Raises VdiffError when files
    are missing or do not fit.
    """
    chosen = choose(Wanted(device, share=True))
    known, path = names(), Path(name)
    if path.suffix == ENDING or (str(name) in known and not path.exists()):
        return read_pretrained(known.get(str(name), path), chosen)
    if not path.is_dir():
        raise VdiffError(
            f"{path / 'run.json'} does not exist, and no network of that name comes with vdiff; "
            f"those that do are {', '.join(known) or 'none'}."
        )
    run = read_run(path / "run.json")
    return Trained(open_model(run, path / "snapshots.csv", Path(data_root), chosen))
