"""The level of noise where a bound ends: below a time s_0 the score is held at its value there.

Whatever s_0, the plug-in reverse SDE with the score held below it is a generative model, and its
bound is valid; but which is best depends on the network. An error e of x-hat costs e^2 / (2 nsr)
nats in a unit of log SNR, one of eps-hat e^2 / 2. Near the data, x-hat of a network that predicts x
itself keeps an error of its own, so that the cost grows without limit as the noise falls; one that
predicts noise or a velocity, or EDM's F between its skips, keeps an error of eps-hat, and pays the
same in every unit down to s_0.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.elbo import stein_integrand
from vdiff.diffusion.predictions import held_score
from vdiff.diffusion.sde import SDE, at
from vdiff.diffusion.tensors import expand_like
from vdiff.diffusion.times import Debiased, stratified

STEP, MANY = 2.0, 5  # of log NSR between levels that are tried, and how many above the least
ROWS, NUMBERS = (64, 2048), 2**13  # draws: least and most, in between as many numbers
ERRORS, LEAST = 2.0, 1e-3  # standard errors, and nats/dim, by which another level must be better


def held(a: Drift, sde: SDE, s_0: float) -> Drift:
    """The drift a = g * score, its score below s_0 that at s_0 of the same y / m."""

    def score(y: Tensor, s: Tensor) -> Tensor:
        return a(y, s.to(y.dtype)) / expand_like(sde.g(s).to(y.dtype), y)

    below = held_score(score, sde, s_0)
    return lambda y, s: expand_like(sde.g(s.double()).to(y.dtype), y) * below(y, s)


def levels_above(sde: SDE, s_min: float) -> list[float]:
    """Times of levels to try, above s_min in steps of log NSR, below the middle of its range and
    sigma = m."""
    low, high = (float(sde.log_nsr(at(s))) for s in (s_min, sde.T))
    tried = (low + STEP * k for k in range(1, MANY + 1))
    return [float(sde.invert_log_nsr(at(v))) for v in tried if v < min((low + high) / 2, 0)]


def rows_for(n: int, d: int) -> Tensor:
    """Which of n pilot examples of d dimensions are looked at: all in turn."""
    many = max(ROWS[0], min(ROWS[1], NUMBERS // d))
    return torch.arange(many) % n


@torch.no_grad()
def gains(
    sde: SDE, drift_of: Callable[[Tensor], Drift], x: Tensor, levels: list[float], eps_t: float,
    tail: float, generator: torch.Generator, batch_size: int,
) -> Tensor:  # fmt: skip
    """(N, J): for one draw of each of x (N, ...), what a bound that ends at each of J ascending
    levels is better by, in nats; its mean is the gain. drift_of(rows): the drift of rows (K,)."""
    law = Debiased(sde, eps_t, tail=tail)
    mass = law.cdf(at(levels[-1]))
    s = law.icdf(stratified(len(x), generator) * mass).to(x.device)
    eps = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    saved = torch.zeros(len(x), len(levels), dtype=torch.float64, device=x.device)
    for rows in torch.arange(len(x)).split(batch_size):
        a, given = drift_of(rows), (x[rows], s[rows], eps[rows])
        own = stein_integrand(sde, a, *given)
        weight = mass.to(x.device) / law.density(given[1])
        for j, s_0 in enumerate(levels):
            inside = given[1] < s_0
            if inside.any():
                k = inside.nonzero().flatten().cpu()
                other = held(drift_of(rows[k]), sde, s_0)
                h = stein_integrand(sde, other, *(v[inside] for v in given))
                saved[rows[k], j] = weight[inside] * (own[inside] - h)
    return saved


def chosen(gains: Tensor, levels: list[float], s_min: float, d: int) -> float:
    """s_0 by gains (N, J): the last level taken, going up from s_min and taking each that is surely
    better than the one taken before."""
    best, taken = s_min, torch.zeros_like(gains[:, 0])
    for level, gain in zip(levels, gains.T, strict=True):
        more = gain - taken
        mean, error = float(more.mean()), float(more.std()) / len(more) ** 0.5
        if mean > ERRORS * error and mean > LEAST * d:
            best, taken = level, gain
    return best
