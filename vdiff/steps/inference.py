"""Generative SDEs trained by the bound together with an inference of their own, beside the plug-in
reverse SDE, whose inference is fixed (figure 1 of the paper).

On the run's own data, and on a mixture of Gaussians on a ring, a pair is trained by the mean of R
over paths (diffusion/inference.py): once without noise, a neural ODE, and once with a fixed sigma.
The plug-in SDE is the run's network, and on the mixture a small one that is trained by denoising. A
row has a statement's measured mean, what it is beside, and the standard error of the difference,
over points of the data:

    ode        log density of the neural ODE, beside the mean log density of the data
    pair       bound of the pair with noise
    plug_in    bound of the plug-in SDE, as the case of a fixed inference
    fixed      the best bound of a fixed forward process of the same sigma, dY = -sigma^2/2 Y ds +
               sigma dB, where a is sigma times the true score: it misses KL(q_T, prior)
    without_a  bound of the pair with noise where a = 0, and inference follows -mu
    fading     bound of the member of its lambda family (`Pair.member`) that has less noise; beside
               the log density of the member without any, the flow
    elbo       bound of the plug-in SDE by paths, beside its ELBO by the efficient estimator

Where the density of the data is not known, rows that are beside it lack it. Rows with a `fault` are
of formulas made wrong on purpose: the claims' tests must reject them.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vdiff.config import Inference, Training
from vdiff.config.fields import number
from vdiff.diffusion.control import efficient, fit_controls
from vdiff.diffusion.drift import Drift, in_float64, on_device
from vdiff.diffusion.dsm import dsm_loss
from vdiff.diffusion.grids import quadratic, uniform
from vdiff.diffusion.inference import Pair, flow_log_prob, generate, log_weights, plug_in
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.times import Debiased
from vdiff.machine.progress import bar
from vdiff.machine.seeds import generator
from vdiff.nets.mlp import MLP
from vdiff.stats.intervals import std_err
from vdiff.stats.tails import tail_of
from vdiff.steps import BACKWARD, Measured, faults
from vdiff.steps.evaluate import REFERENCE
from vdiff.steps.forms import COMPONENTS
from vdiff.steps.theory import prior_gap, start
from vdiff.trained import Trained
from vdiff.training.optimisers import optimiser_of

COARSE, UNTIL = 2, 0.6  # steps are so many times as long until so much of the training is over
ELBO_DRAWS, PILOT = 256, 2048  # of the efficient estimator: for each point, and to fit it
NORM = 5.0  # of gradients, at most
CLOUD = 1000  # points of the data that are drawn


@dataclass(frozen=True)
class Source:
    """Data, their density where it is known, and the drift of a plug-in SDE that was trained."""

    name: str
    sample: Callable[[int, torch.Generator], Tensor]
    truth: Mixture | None
    a: Drift


def learned(sde: SDE, net: nn.Module, sigma: float) -> Pair:
    """The pair of a network with two fields, velocity and score: mu = velocity + sigma^2/2 score,
    a = sigma score. Of any noise, then, `Pair.member(1)` is the flow along the velocity."""

    def fields(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        velocity, score = net(y, s).chunk(2, 1)
        return velocity + sigma**2 / 2 * score, sigma * score

    return Pair(fields, lambda s: torch.full_like(s, sigma), sde.prior_log_prob, sde.T)


def _steps(n: int, lr: float, net: nn.Module, loss: Callable[[int], Tensor], name: str) -> None:
    """n steps of Adam down loss(i)."""
    optimiser = optimiser_of(net, Training(iterations=n, lr=lr, warmup=min(20, n), decay=UNTIL))
    with bar(n, name, unit="step") as progress:
        for i in range(n):
            optimiser.zero_grad()
            loss(i).backward()
            nn.utils.clip_grad_norm_(net.parameters(), NORM)
            optimiser.step(i)
            progress.update()
    net.double().requires_grad_(False)


def jittered(T: float, steps: int, rng: torch.Generator) -> Tensor:
    """(steps + 1,) times from 0 to T, even but for up to half a step: what is trained on a grid
    that changes cannot live on the errors of one."""
    times = torch.arange(steps + 1, dtype=torch.float64)
    times[1:-1] += torch.rand(steps - 1, generator=rng, dtype=torch.float64) - 0.5
    return times * T / steps


def train_pair(
    source: Source, sde: SDE, net: nn.Module, sigma: float, settings: Inference, seed: int
) -> Pair:
    """The pair of the network, trained by its bound on paths, gradients through them: first along
    coarse ones."""
    rng = generator("inference", source.name, number(sigma), seed)
    net, n, B = net.float().requires_grad_(), settings.iterations, settings.batch_size
    pair = learned(sde, net, sigma)

    def loss(i: int) -> Tensor:
        L = settings.path_steps // (COARSE if i < UNTIL * n else 1)
        x = source.sample(B, rng).float()
        eps = torch.randn(L, B, 2, generator=rng)
        probes = torch.randint(2, (L + 1, B, 2), generator=rng).float() * 2 - 1
        return -log_weights(pair, x, jittered(sde.T, L, rng), eps, probes).mean()

    _steps(n, settings.lr, net, loss, f"inference {source.name}, sigma {sigma:g}")
    return pair


def train_pairs(source: Source, sde: SDE, settings: Inference, seed: int) -> tuple[Pair, Pair]:
    """Without noise, and with it: the second begins where the first ended, for from weights drawn
    at random it takes several times as long."""
    net = MLP(2, generator("inference weights", seed), tuple(settings.hidden), fields=2)
    ode = train_pair(source, sde, net, 0.0, settings, seed)
    return ode, train_pair(source, sde, deepcopy(net), settings.sigma, settings, seed)


def train_plug_in(mixture: Mixture, settings: Inference, eps_t: float, seed: int) -> Drift:
    """The drift of the mixture's plug-in SDE, trained by denoising at debiased times."""
    sde, rng = mixture.sde, generator("inference", "plug-in", seed)
    net, law = MLP(2, rng, tuple(settings.hidden)), Debiased(sde, eps_t)
    B = 2 * settings.batch_size

    def loss(i: int) -> Tensor:
        x = mixture.sample(B, rng).float()
        return dsm_loss(sde, net, x, law.sample(B, rng), torch.randn(B, 2, generator=rng)).mean()

    _steps(settings.plug_in_iterations, settings.lr, net, loss, "inference mixture, plug-in")
    return in_float64(net.float())


def elbo(source: Source, sde: SDE, x: Tensor, eps_t: float, rng: torch.Generator) -> Tensor:
    """The ELBO (B,) of a plug-in SDE by the efficient estimator: no path, no divergence. Each point
    has a time in each of ELBO_DRAWS strata."""
    reference = GaussianReference.fit(sde, source.sample(REFERENCE, rng).double())
    pilot = source.sample(PILOT, rng).double()
    controls = fit_controls(source.a, pilot, reference, rng, eps_t)
    total = x.new_zeros(len(x))
    for k in range(ELBO_DRAWS):
        u = (k + torch.rand(len(x), generator=rng, dtype=x.dtype)) / ELBO_DRAWS
        eps = torch.randn(x.shape, generator=rng, dtype=x.dtype)
        total += efficient(source.a, x, u, eps, controls).value
    return total / ELBO_DRAWS


def _row(
    statement: str, sigma: float, measured: Tensor, expected: Tensor, fault: str = faults.NONE
) -> dict:
    """Of values (n,) of the same points."""
    difference = (measured - expected).numpy()
    return {
        "fault": fault,
        "statement": statement,
        "sigma": sigma,
        "measured": float(measured.mean()),
        "measured_std_err": std_err(measured.numpy()),
        "expected": float(expected.mean()),
        "std_err": std_err(difference),
        "points": len(measured),
        **asdict(tail_of(difference - difference.mean())),
    }


@torch.no_grad()
def rows_of(
    source: Source, sde: SDE, ode: Pair, pair: Pair, settings: Inference, eps_t: float, seed: int
) -> Iterator[dict]:
    """The statements on one source: the plug-in SDE's on all points, the pairs' on the same quarter
    of them, for their noise is less. Paths of a pair share their noise."""
    rng, n, L = generator("inference rows", source.name, seed), settings.points, settings.fine_steps
    sigma, every, truth = settings.sigma, source.sample(n, rng).double(), source.truth
    log_q = start(truth, every) if truth else every.new_full((n,), torch.nan)
    eps, x = torch.randn(L, n, 2, generator=rng, dtype=torch.float64), every[: n // 4]
    even, fine, known = uniform(sde, L // 2).flip(0), uniform(sde, L).flip(0), log_q[: n // 4]

    def bound(pair: Pair) -> Tensor:
        return log_weights(pair, x, even, eps[: L // 2, : len(x)])

    def without_a(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        mu, a = pair.fields(y, s)
        return mu, 0 * a

    yield _row("ode", 0.0, flow_log_prob(ode, x), known)
    yield _row("pair", sigma, bound(pair), known)
    yield _row("without_a", sigma, bound(replace(pair, fields=without_a)), known)
    if truth:
        still = Mixture(VPSDE(sigma**2, sigma**2, sde.T), truth.means, truth.variance)
        eps_T = torch.randn(len(x), 2, generator=rng, dtype=torch.float64)
        yield _row("fixed", sigma, known - prior_gap(still, x, eps_T), known)

    flow = flow_log_prob(pair.member(1.0), x)
    for less in settings.fading:
        member = pair.member(1 - (less / sigma) ** 2)
        yield _row("fading", less, bound(member), flow)
    alone = replace(member, prior_log_prob=faults.without_prior(sde).prior_log_prob)
    yield _row("fading", less, bound(alone), flow, faults.NO_PRIOR)

    by_paths = log_weights(plug_in(sde, source.a), every, fine, eps)
    by_times, few = elbo(source, sde, every, eps_t, rng), n // 16
    yield _row("plug_in", torch.nan, by_paths, log_q)
    yield _row("elbo", torch.nan, by_paths, by_times)
    wrong = plug_in(faults.without_f(sde), source.a)
    by_wrong = log_weights(wrong, every[:few], fine, eps[:, :few])
    yield _row("elbo", torch.nan, by_wrong, by_times[:few], faults.NO_F)


def drawn(
    source: Source, sde: SDE, ode: Pair, pair: Pair, settings: Inference, seed: int
) -> dict[str, np.ndarray]:
    """Points of the data, and paths (L + 1, n, 2) of each model, from common draws of the prior."""
    rng, n, L = generator("inference paths", source.name, seed), settings.paths, settings.fine_steps
    arrays = {f"{source.name} data": source.sample(CLOUD, rng).numpy()}
    y = sde.prior_sd * torch.randn(n, 2, generator=rng, dtype=torch.float64)
    eps = torch.randn(L, n, 2, generator=rng, dtype=torch.float64)
    models = {"ode": ode, "pair": pair, "plug_in": plug_in(sde, source.a)}
    for name, model in models.items():
        times = (quadratic if name == "plug_in" else uniform)(sde, L)
        arrays[f"{source.name} {name}"] = generate(model, y, times, eps).numpy()
        arrays[f"{source.name} {name} times"] = 1 - times.numpy() / sde.T
    return arrays


def measure(model: Trained, settings: Inference) -> Measured:
    """Of points in the plane; what is learned here runs on the CPU."""
    sde, seed, ring = model.sde, model.run.seed, Mixture.ring(model.sde)
    spiral = Mixture.spiral(sde, COMPONENTS) if model.run.dataset == "swissroll" else None
    small = train_plug_in(ring, settings, model.eps_t, seed)
    a = on_device(in_float64(model.drift()), model.device)
    sources = (
        Source("data", model.data.sample, spiral, a),
        Source("mixture", ring.sample, ring, small),
    )
    rows: list[dict] = []
    arrays: dict[str, Any] = {"sigma": np.float64(settings.sigma)}
    for source in sources:
        ode, pair = train_pairs(source, sde, settings, seed)
        of_source = rows_of(source, sde, ode, pair, settings, model.eps_t, seed)
        rows += [{"source": source.name, **row} for row in of_source]
        arrays |= drawn(source, sde, ode, pair, settings, seed)
    return Measured({"out": rows, "drawn": arrays})


def cost(settings: Inference, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example by the run's network; the small ones are not counted."""
    of_bound = settings.fine_steps * 2 * (1 + 2 * BACKWARD)  # two divergences in the plane
    return (
        settings.points * (of_bound * 9 / 8 + ELBO_DRAWS) + 2 * settings.paths * settings.fine_steps
    )
