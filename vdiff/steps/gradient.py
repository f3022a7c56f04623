"""The training gradient in slices of time, from which bias and variance of every law follow."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from vdiff.config import Variance
from vdiff.diffusion.drift import Drift
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.fitted import SLICES, Fitted
from vdiff.diffusion.times import Debiased, TimeLaw, Uniform
from vdiff.machine.captured import Captured
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.stats.gradients import Law, SliceGradients
from vdiff.stats.intervals import GROUPS
from vdiff.trained import Trained

LONGEST = 2**18  # entries of a gradient that are kept; longer ones are sketched
POINTS = 1000  # of a slice, behind the mean of a law's density in it


def gradient_rows(
    model: Trained, a: Drift, settings: Variance, name: str = "gradient"
) -> list[dict]:
    """Rows of the schema gradient, one per time distribution:

    uniform           s ~ U[0, T], weight 1: the usual training, biased
    uniform_weighted  s ~ U[0, T], weight T g^2 / sigma^2: unbiased, and noisy
    debiased          s ~ q, weight 1: the gradient of the ELBO with its weight g^2 / sigma^2 held
                      at its value at eps_t below that time; _tenth and _tenfold: at eps_t / 10
                      and 10 eps_t
    unbiased          q that grows below eps_t, with the ELBO's weights there: nothing is missing
    fitted            q fitted to gradients at the network's output, as training does it
    best              q of the least variance that these slices allow
    """
    fitted = Fitted.fresh(model.sde, model.eps_t, model.device)
    slices = slice_gradients(model, a, settings, fitted, name)
    fitted.refit()
    laws = _paper_laws(model, fitted.base)
    laws["unbiased"] = Law.unbiased(np.ones(SLICES))
    laws["fitted"] = Law.unbiased(fitted.weights.cpu().numpy())
    laws["best"] = Law.unbiased(slices.best())
    rows = [{"law": law, **slices.of(by)} for law, by in laws.items()]
    # Evenly spread times leave other variances, and so another best law.
    best = slices.of(Law.unbiased(slices.best(spread=True)))
    columns = ("spread_variance", "spread_variance_std_err")
    rows[-1] |= {column: best[column] for column in columns}
    count = {"batches": slices.squares[..., 0].size, "batch_size": slices.batch_size}
    return [{**row, **count} for row in rows]


def _paper_laws(model: Trained, base: Debiased) -> dict[str, Law]:
    """Laws with densities of their own, from their means in the slices of the base law, within
    which the gradient is taken as even."""
    sde = model.sde
    u = (torch.arange(SLICES * POINTS, dtype=torch.float64) + 0.5) / (SLICES * POINTS)
    s = base.icdf(u)
    elbo = sde.weight(s) / base.density(s)

    def law(q: TimeLaw, weight: Tensor) -> Law:
        share, omega = q.density(s) / base.density(s), weight / elbo
        c = (share * omega).reshape(SLICES, POINTS).mean(1) / SLICES
        d = (share * omega.square()).reshape(SLICES, POINTS).mean(1) / SLICES
        return Law(c.numpy(), d.numpy())

    one = torch.ones_like(s)
    return {
        "uniform": law(Uniform(sde.T), one),
        "uniform_weighted": law(Uniform(sde.T), sde.weight(s) / Uniform(sde.T).density(s)),
        "debiased": law(Debiased(sde, model.eps_t), one),
        "debiased_tenth": law(Debiased(sde, model.eps_t / 10), one),
        "debiased_tenfold": law(Debiased(sde, min(10 * model.eps_t, sde.T / 2)), one),
    }


def in_a_group(settings: Variance) -> int:
    """Batches in each of the GROUPS of a slice, which have together what is asked for or more."""
    return math.ceil(settings.batches / GROUPS)


def slice_gradients(
    model: Trained, a: Drift, settings: Variance, fitted: Fitted, name: str
) -> SliceGradients:
    """Gradients of settings.batches batches in every slice of the base law of `fitted`, which
    sees them too; each example has the ELBO's weight relative to the base law.

    Memory is bounded by LONGEST: longer gradients are folded by signed hashing (count sketch),
    which keeps products in the mean, with an error of sqrt(2 / LONGEST) of the norms, 0.3%.
    """
    size = in_a_group(settings)
    sums, squares = None, np.zeros((GROUPS, size, SLICES))
    with _wanting_gradients(model) as parameters, bar(squares.size, name) as progress:
        fold = _folding(sum(p.numel() for p in parameters), model.run.seed)

        def losses_and_gradient(
            x: Tensor, s: Tensor, eps: Tensor, weight: Tensor
        ) -> tuple[Tensor, Tensor]:
            losses = dsm_loss(model.sde, a, x, s, eps)
            parts = torch.autograd.grad((weight * losses).mean(), parameters)
            return losses.detach(), torch.cat([g.flatten() for g in parts])

        graph = model.run.training.compile == "graph"
        of = Captured(losses_and_gradient) if graph else losses_and_gradient
        for group, turn, k in np.ndindex(squares.shape):
            flat = fold(_gradient(model, of, settings.batch_size, fitted, (group, turn, k)))
            if sums is None:
                sums = torch.zeros(GROUPS, SLICES, len(flat))
            sums[group, k] += flat / size
            squares[group, turn, k] = float(flat.double() @ flat.double())
            progress.update()
    assert sums is not None
    gram = torch.tensordot(sums, sums, dims=([2], [2])).double().numpy()
    return SliceGradients(gram, squares, settings.batch_size)


def _gradient(
    model: Trained,
    losses_and_gradient: Callable[..., tuple[Tensor, Tensor]],
    batch_size: int,
    fitted: Fitted,
    turn: tuple[int, int, int],
) -> Tensor:
    """The gradient of one batch with times in one slice, the last number of `turn`, flat."""
    sde, base, device = model.sde, fitted.base, model.device
    rng = generator("gradient", model.run.seed, *turn)
    x = model.data.sample(batch_size, rng)
    u = torch.rand(len(x), generator=rng, dtype=torch.float64)
    s = base.icdf((turn[-1] + u) / SLICES).to(device)
    eps = torch.randn(x.shape, generator=rng).to(device)
    weight = sde.weight(s) / base.density(s)
    losses, gradient = losses_and_gradient(x.to(device), s, eps, weight)
    fitted.see(s, losses)
    return gradient.cpu()


def _folding(length: int, seed: int) -> Callable[[Tensor], Tensor]:
    """Gradients of that length as vectors of at most LONGEST entries."""
    if length <= LONGEST:
        return lambda flat: flat
    rows = -(-length // LONGEST)
    sign = torch.randint(2, (rows * LONGEST,), generator=generator("sketch", seed)) * 2.0 - 1

    def fold(flat: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(flat, (0, len(sign) - length))
        return (padded * sign).reshape(rows, LONGEST).sum(0)

    return fold


@contextmanager
def _wanting_gradients(model: Trained) -> Iterator[list[nn.Parameter]]:
    """The network's parameters, which are wanted as constants otherwise."""
    parameters = list(model.network.parameters())
    before = [p.requires_grad for p in parameters]
    model.network.requires_grad_(True)
    try:
        yield parameters
    finally:
        for p, needed in zip(parameters, before, strict=True):
            p.requires_grad_(needed)
