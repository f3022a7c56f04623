"""The forms of score matching, along training: they differ by constants of the weights.

At times s of the debiased law on [eps_t, T], whose normaliser is C = log NSR(T) - log NSR(eps_t),
each form is C sigma^2 / g^2 times

    denoising   1/2 ||a + g eps / sigma||^2
    implicit    1/2 ||a||^2 + g div a                              + C d / 2
    sliced      1/2 ||a||^2 + g v . J v, random signs v            + C d / 2
    explicit    1/2 ||a - a*||^2 - 1/2 ||a*||^2, a* the truth     + C d / 2

and has the mean of the denoising form once the constant at the right is added: so minimising any
of them raises the ELBO, which is minus the implicit form and what does not depend on a. The
explicit form needs the true score, which the Swissroll has as a mixture along its spiral. The
difference's noise is that of a . eps / sigma; what it is for Gaussian data is a control, and on the
Swissroll what it is for the true drift. Rows with a `fault`, at the last snapshot, are of
forms made wrong on purpose.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdiff.config import Forms
from vdiff.diffusion.divergence import divergence, hutchinson
from vdiff.diffusion.drift import Drift, on_device
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sde import SDE, at
from vdiff.diffusion.tensors import sum_features
from vdiff.diffusion.times import Debiased, stratified
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.stats.intervals import adjusted, std_err
from vdiff.steps import BACKWARD, Measured, faults
from vdiff.steps.evaluate import reference_of
from vdiff.trained import Trained

# Of the mixture along the Swissroll: neighbours are 0.1 standard deviations apart.
COMPONENTS = 1500
WRONG_PART = 4  # of this many draws one is also given to wrong formulas
ROWS = 250  # draws at once beside all components: they stay in the cache

Draw = tuple[Tensor, Tensor, Tensor, Tensor]
"""x, s, eps and signs of a batch."""


def normaliser(sde: SDE, eps_t: float) -> float:
    """C, the integral of g^2 / sigma^2 over [eps_t, T]."""
    return float(sde.log_nsr(at(sde.T)) - sde.log_nsr(at(eps_t)))


def times(sde: SDE, eps_t: float, n: int, rng: torch.Generator) -> Tensor:
    """n times of the debiased law on [eps_t, T], evenly spread, in any order."""
    law = Debiased(sde, eps_t)
    below = law.cdf(at(eps_t))
    u = below + (1 - below) * stratified(n, rng)
    return law.icdf(u)[torch.randperm(n, generator=rng)]


@dataclass(frozen=True)
class Values:
    """What forms take of a drift a at a draw: a (B, ...), and the divergences (B,) of theirs."""

    a: Tensor
    div: dict[str, Tensor]


def values_at(
    sde: SDE, a: Drift, draw: Draw, names: list[str], differentiable: bool = False
) -> Values:
    """One forward pass for all the forms of those names, and a backward pass for each probe or
    dimension of their divergences; differentiable: by a's weights."""
    x, s, eps, probe = draw
    probes = {"implicit": None, "sliced": probe}  # the last gradient frees the graph
    wanted = [name for name in probes if name in names]
    y = sde.perturb(x, s, eps).requires_grad_(bool(wanted))
    with torch.set_grad_enabled(bool(wanted) or differentiable):
        a_y = a(y, s.to(y.dtype))
        div = {name: divergence(a_y, y, probes[name], differentiable) for name in wanted}
    return Values(a_y if differentiable else a_y.detach(), div)


def form_of(
    name: str, sde: SDE, values: Values, draw: Draw, C: float, true: Tensor | None = None
) -> Tensor:
    """The form of that name with its constant, (B,) nats, of a draw (x, s, eps, signs).

    true (B, ...): the exact drift there, for the explicit form.
    """
    x, s, eps, _ = draw
    if name == "denoising":
        return C * dsm_loss(sde, lambda y, s: values.a, x, s, eps).double()
    if name == "explicit":
        if true is None:
            raise ValueError("the explicit form needs the true drift")
        within = (sum_features((values.a - true).square()) - sum_features(true.square())) / 2
    else:
        within = sum_features(values.a.square()).double() / 2 + sde.g(s) * values.div[name]
    return C / sde.weight(s) * within + C * x[0].numel() / 2


def names_of(points: bool, known: bool) -> list[str]:
    """The forms that data allow: the implicit one needs an exact divergence, which is cheap for
    points alone, and the explicit one the truth."""
    return ["denoising", "sliced", *["implicit"] * points, *["explicit"] * known]


def wrong_forms(
    sde: SDE, values: Values, draw: Draw, C: float, true: Tensor | None
) -> dict[tuple[str, str], Tensor]:
    """(fault, form) to the form made wrong on purpose."""
    without_g = faults.without_g(sde)
    forms = {(faults.NO_G, name): form_of(name, without_g, values, draw, C) for name in values.div}
    if true is not None:
        score = faults.OFF * true
        forms[faults.WRONG_SCORE, "explicit"] = form_of("explicit", sde, values, draw, C, score)
    return forms


def _passes(form: str, d: int) -> int:
    """Forward passes' worth of one draw."""
    return {"denoising": 1, "explicit": 1, "sliced": 3, "implicit": 1 + 2 * d}[form]


def _of_truth(truth: Mixture, draw: Draw, C: float) -> tuple[Tensor, list[Tensor]]:
    """The true drift a* of a draw, and controls of mean 0: ||a*||^2 less what it is by Stein's
    identity, with g a* . eps / sigma and with g div a*; and the noise of the signs in div a*."""
    x, s, eps, probe = draw
    sde, y = truth.sde, truth.sde.perturb(x, s, eps).double()
    scale, g = C / truth.sde.weight(s), truth.sde.g(s)
    true, sliced = hutchinson(lambda y: truth.a(y, s), y, probe.double())
    square = sum_features(true.square())
    stein = g / sde.sigma(s) * sum_features(true * eps)
    div = truth.div_a(y, s)
    return true, [
        scale * (square + stein),
        scale * (square + g * div),
        scale * g * (sliced - div),
    ]


def _row(
    fault: str,
    iteration: int,
    name: str,
    value: np.ndarray,
    base: np.ndarray,
    known: np.ndarray,
) -> dict:
    """A row of the schema forms but for its cost; values of the form and of denoising, per
    dimension, and controls, of as many draws as the form has."""
    base, known = base[: len(value)], known[: len(value)]
    mean, excess = adjusted(value, known), adjusted(value - base, known) / math.log(2)
    return {
        "fault": fault,
        "iteration": iteration,
        "form": name,
        "value": float(mean.mean()),
        "std_err": std_err(mean),
        "excess": float(excess.mean()),
        "excess_std_err": std_err(excess),
        "variance": float(np.var(value, ddof=1)),
    }


def _draws(
    model: Trained, settings: Forms, C: float
) -> Iterator[tuple[Draw, Tensor | None, Tensor]]:
    """Batches of draws, the true drift at each if it is known, and controls (B, P)."""
    sde, rng = model.sde, generator("forms", model.run.seed)
    reference = reference_of(sde, model.data)
    truth = Mixture.spiral(sde, COMPONENTS) if model.run.dataset == "swissroll" else None
    for s in times(sde, model.eps_t, settings.draws, rng).split(settings.batch_size):
        x = model.data.sample(len(s), rng)
        eps = torch.randn(x.shape, generator=rng)
        draw = (x, s, eps, torch.randn(x.shape, generator=rng).sign())
        z, e = reference.coordinates(x, eps)
        known = [c * C / sde.weight(s) for c in reference.fluctuations(z, e, s)]
        known.append(C * (e.square() - 1).sum(1) / 2)
        true = None
        if truth:
            parts = zip(*(of.split(ROWS) for of in draw), strict=True)
            trues, more = zip(*(_of_truth(truth, part, C) for part in parts), strict=True)
            true = torch.cat(trues)
            known += [torch.cat(control) for control in zip(*more, strict=True)]
        yield draw, true, torch.stack(known, 1)


def measure(model: Trained, settings: Forms) -> Measured:
    """Rows of the schema forms for some snapshots, all of the same draws."""
    sde = model.sde
    C = normaliser(sde, model.eps_t)
    draws, each = list(_draws(model, settings, C)), defaultdict(list)
    last = len(model.snapshots) - 1
    chosen = np.linspace(0, last, min(settings.checkpoints, last + 1)).round().astype(int)
    snapshots = [model.snapshots[k] for k in chosen]
    names = names_of(len(model.data.shape) == 1, draws[0][1] is not None)
    wrong = range(math.ceil(len(draws) / WRONG_PART))
    with bar(len(snapshots) * len(draws), f"forms {model.run.label}", unit="batch") as progress:
        for snapshot in snapshots:
            a = on_device(model.drift(snapshot, in_training=True), model.device)
            for k, (draw, true, _) in enumerate(draws):
                values = values_at(sde, a, draw, names)
                forms = {(faults.NONE, n): form_of(n, sde, values, draw, C, true) for n in names}
                if snapshot is snapshots[-1] and k in wrong:
                    forms |= wrong_forms(sde, values, draw, C, true)
                for (fault, name), z in forms.items():
                    each[fault, snapshot.iteration, name].append(z / model.dims)
                progress.update()
    together, rows = torch.cat([known for _, _, known in draws]).numpy(), []
    joined = {key: torch.cat(parts).numpy() for key, parts in each.items()}
    for (fault, iteration, name), of in joined.items():
        base = joined[faults.NONE, iteration, "denoising"]
        row = _row(fault, iteration, name, of, base, together)
        rows.append({**row, "passes": _passes(name, model.dims), "draws": len(of)})
    return Measured({"out": rows})


def cost(settings: Forms, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    d = shape[0] if len(shape) == 1 else 0
    each = 1 + BACKWARD * (1 + d)  # one pass forward for all forms
    return min(settings.checkpoints, snapshots) * settings.draws * each
