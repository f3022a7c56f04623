"""The paper's identities where the truth is known: on a mixture with its true drift.

The data are `Mixture.spiral`. Where a drift must be wrong, it is a = a* + c delta with the true
drift a* and delta(y) = (sin 2 y_2, sin 2 y_1), which has no divergence. Each row is a statement's
measured value, what theory says it is, and the standard error of the difference, of draws that both
share:

    gap            E[log q(x) - ELBO(x)] = c^2/2 int E||delta||^2 ds + KL(q_T, prior), with the ELBO
                   as the mean of R over paths (Girsanov, Jensen): 0 only at the true drift
    feynman_kac    E[p(x) / q(x)] = 1, with p(x) = E exp R over paths
    flow           E log p(x) of the ODE, by the change of variables, = E log q(x): lambda = 1
    lmbd_bound     E log p_lmbd(x) of a linear member, and its bound
    layers         E[ELBO of 2 L layers - ELBO of L], and the first halved with each doubling
    layers_slope   its slope against L on logarithms, and -1
    same_density   E log q(samples) of a member of the lambda family = E log q(x)

Rows with a `fault` are of formulas made wrong on purpose: the claims' tests must reject them.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from vdiff.config import Theory
from vdiff.diffusion.drift import Drift, in_float64
from vdiff.diffusion.feynman_kac import log_weights
from vdiff.diffusion.grids import log_snr, quadratic, uniform
from vdiff.diffusion.hierarchy import hierarchical
from vdiff.diffusion.linear import Linear
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.ode import log_likelihood
from vdiff.diffusion.reverse import Reverse, bound_factor
from vdiff.diffusion.samplers import sampler_of
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.stepping import noise_of
from vdiff.diffusion.tensors import sum_features
from vdiff.diffusion.times import stratified
from vdiff.machine.seeds import generator
from vdiff.stats.intervals import GROUPS, adjusted, jackknife, leave_one_out, std_err
from vdiff.steps import Measured, faults
from vdiff.trained import Trained

THETA, V = 0.6, 2.0  # of the linear members: the true drift of N(0, 2) has theta from 0.5 to 1


def delta(y: Tensor) -> Tensor:
    """A field without divergence, y (B, 2) to (B, 2)."""
    return torch.stack([(2 * y[:, 1]).sin(), (2 * y[:, 0]).sin()], 1)


def _row(
    statement: str,
    setting: float,
    measured: float,
    error: float,
    expected: float,
    fault: str = faults.NONE,
) -> dict:
    return {
        "fault": fault,
        "statement": statement,
        "setting": setting,
        "measured": measured,
        "std_err": error,
        "expected": expected,
    }


def _paired(
    statement: str, setting: float, measured: Tensor, expected: Tensor, fault: str = faults.NONE
) -> dict:
    """A row of draws (n,) that both sides share."""
    error = std_err((measured - expected).numpy())
    return _row(statement, setting, float(measured.mean()), error, float(expected.mean()), fault)


def start(mixture: Mixture, x: Tensor) -> Tensor:
    """log q(x), (B,)."""
    return mixture.log_prob(x, x.new_zeros(len(x)))


def _wrong(mixture: Mixture, c: float) -> Drift:
    return lambda y, s: mixture.a(y, s) + c * delta(y)


def prior_gap(mixture: Mixture, x: Tensor, eps: Tensor) -> Tensor:
    """log q_T - log prior at a draw of Y_T: in mean KL(q_T, prior)."""
    T = x.new_full((len(x),), mixture.sde.T)
    y = mixture.sde.perturb(x, T, eps)
    return mixture.log_prob(y, T) - mixture.sde.prior_log_prob(y)


def feynman_kac(mixture: Mixture, settings: Theory, rng: torch.Generator) -> Iterator[dict]:
    """One path for each x: its weight exp R over q(x) has mean 1, and E[log q - R] is the gap."""
    sde, n = mixture.sde, settings.paths
    x, eps_T = mixture.sample(n, rng), torch.randn(n, 2, generator=rng, dtype=torch.float64)
    times = quadratic(sde, settings.path_steps).flip(0)
    s = sde.T * stratified(n, rng)[torch.randperm(n, generator=rng)]
    y = sde.perturb(x, s, torch.randn(n, 2, generator=rng, dtype=torch.float64))
    error = sde.T / 2 * sum_features(delta(y).square())
    last, log_q = prior_gap(mixture, x, eps_T), start(mixture, x)

    def div_without_g(y: Tensor, s: Tensor) -> Tensor:
        return mixture.div_a(y, s) / sde.g(s)

    cases = [(faults.NONE, sde, mixture.div_a, c) for c in settings.errors]
    cases += [
        (faults.NO_G, sde, div_without_g, 0.0),
        (faults.NO_PRIOR, faults.without_prior(sde), mixture.div_a, 0.0),
    ]
    for fault, formula, div, c in cases:
        R = log_weights(formula, _wrong(mixture, c), div, x, times, rng)
        yield _paired("feynman_kac", c, (R - log_q).exp(), torch.ones_like(R), fault)
        yield _paired("gap", c, log_q - R, c**2 * error + last, fault)


def flow(mixture: Mixture, settings: Theory, rng: torch.Generator) -> Iterator[dict]:
    x, sde = mixture.sample(settings.flow_points, rng), mixture.sde
    for fault, formula, a in (
        (faults.NONE, sde, mixture.a),
        (faults.NO_PRIOR, faults.without_prior(sde), mixture.a),
        (faults.STRONG, sde, faults.scaled(mixture.a, faults.OFF)),
    ):
        logp = log_likelihood(formula, a, x, tolerance=1e-5).log_prob
        yield _paired("flow", 1.0, logp, start(mixture, x), fault)


def same_density(mixture: Mixture, settings: Theory, rng: torch.Generator) -> Iterator[dict]:
    """Samples of lambdas by a solver of order 2. What 5% more noise does to the distribution no
    distance sees, for it is local; the density sees it."""
    sde, n = mixture.sde, settings.samples
    of_data = start(mixture, mixture.sample(20 * n, rng))
    times, noise = log_snr(sde, settings.sample_steps), noise_of(rng)
    cases = [(faults.NONE, lmbd, noise) for lmbd in settings.law_lmbds]
    cases.append((faults.WIDE, 0.0, faults.wide(noise)))
    for fault, lmbd, source in cases:
        x = sde.prior_sd * torch.randn(n, 2, generator=rng, dtype=torch.float64)
        x = sampler_of("multistep")(Reverse(sde, mixture.a, lmbd), x, times, source, None)
        logp = start(mixture, x)
        error = math.hypot(std_err(logp.numpy()), std_err(of_data.numpy()))
        yield _row("same_density", lmbd, float(logp.mean()), error, float(of_data.mean()), fault)


def lmbd_bound(sde: SDE, settings: Theory) -> Iterator[dict]:
    """Closed forms on both sides: no error but the quadrature's."""
    member = Linear(sde, V, THETA)
    best = member.bound(0.0)
    error = (best - member.bound(0.5)) / (bound_factor(0.5) - 1)  # the drift's
    for lmbd in settings.lmbds:
        value, wrong = member.mean_log_prob(lmbd), best - ((1 - lmbd / 2) ** 2 - 1) * error
        yield _row("lmbd_bound", lmbd, value, 0.0, member.bound(lmbd))
        yield _row("lmbd_bound", lmbd, value, 0.0, wrong, faults.NO_ROOM)


def layers(
    sde: SDE,
    a: Drift,
    sample: Callable,
    settings: Theory,
    rng: torch.Generator,
    device: str = "cpu",
    fault: str = faults.NONE,
) -> Iterator[dict]:
    """All L layers of an example share its noise: their sum is a smooth function of L.

    The drift is on `device`.
    """
    n, first = settings.layer_points, settings.layers
    x = sample(n, rng).double()
    eps = torch.randn(n, 2, generator=rng, dtype=torch.float64)
    counts = [first * 2**k for k in range(settings.doublings + 1)]
    grids = [uniform(sde, L).flip(0).to(device) for L in counts]
    there, noise = x.to(device), eps.to(device)
    bounds = [hierarchical(sde, a, there, t, noise.expand(len(t) - 1, n, 2)).cpu() for t in grids]
    square = sum_features(eps.square())
    known = torch.stack([square - 2, square.square() - 8], 1).numpy()  # of mean 0
    gains = torch.stack(bounds).diff(dim=0).numpy()  # (doublings, n)
    gains = np.stack([adjusted(gain, known) for gain in gains])
    for k, gain in enumerate(gains):
        expected = float(gains[0].mean()) / 2**k
        yield _row("layers", counts[k], float(gain.mean()), std_err(gain), expected, fault)
    group = np.arange(n) % GROUPS

    def slope(keep: np.ndarray) -> float:
        means = np.abs(gains[:, keep[group]].mean(1))
        return float(np.polyfit(np.log(counts[:-1]), np.log(np.maximum(means, 1e-12)), 1)[0])

    error = float(jackknife(leave_one_out(GROUPS, slope)))
    yield _row("layers_slope", first, slope(np.ones(GROUPS, bool)), error, -1.0, fault)


def measure(model: Trained, settings: Theory) -> Measured:
    """Of points: the mixture with its true drift, and what asks for no truth with the network."""
    sde, seed = model.sde, model.run.seed
    mixture = Mixture.spiral(sde)
    rows: list[dict] = []
    for statement in (feynman_kac, flow, same_density):
        rng = generator("theory", statement.__name__, seed)
        rows += [{"source": "exact", **r} for r in statement(mixture, settings, rng)]
    rows += [{"source": "exact", **r} for r in lmbd_bound(sde, settings)]
    with torch.no_grad():
        learned, device = in_float64(model.drift()), model.device
        wide = faults.wide_decoder(sde)
        for source, formula, a, sample, where, fault in (
            ("exact", sde, mixture.a, mixture.sample, "cpu", faults.NONE),
            ("exact", wide, mixture.a, mixture.sample, "cpu", faults.WIDE),
            ("learned", sde, learned, model.data.sample, device, faults.NONE),
        ):
            of_layers = layers(
                formula, a, sample, settings, generator("layers", seed), where, fault
            )
            rows += [{"source": source, **r} for r in of_layers]
    return Measured({"out": rows})


def cost(settings: Theory, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    # The layers alone run the network.
    return settings.layer_points * settings.layers * (2 ** (settings.doublings + 1) - 1)
