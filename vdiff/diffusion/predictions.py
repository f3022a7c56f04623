"""What networks predict, as the score: docs/likelihood.md has the table.

With Y_s = m x + sigma eps, from the network's output at (y, s):

    score       the score itself
    drift       the paper's a:  score = a / g
    noise       eps-hat:        score = -eps-hat / sigma
    x0          x-hat:          score = (m x-hat - y) / sigma^2
    v           m eps - sigma x, where m^2 + sigma^2 = 1:  x-hat = m y - sigma v
    velocity    dy/ds along x and eps held:  m' x + sigma' eps
    F           EDM's, between its skips:    x-hat = c_skip y + c_out F   (arXiv 2206.00364)
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like
from vdiff.errors import VdiffError

SMALLEST = 1e-5
"""The least time at which this package's own networks are asked for anything but the drift."""

Output = Callable[[Tensor, Tensor], Tensor]
"""A network's output at y (B, ...) and times s (B,) of the SDE, (B, ...)."""


def _of_x0(x0: Tensor, y: Tensor, m: Tensor, sigma: Tensor) -> Tensor:
    return (m * x0 - y) / sigma.square()


def _of_velocity(sde: SDE, s: Tensor, out: Tensor, y: Tensor, m: Tensor, sigma: Tensor) -> Tensor:
    """velocity = m' x + sigma' eps with x = (y - sigma eps) / m: eps = (velocity - r y) /
    (sigma' - r sigma), r = m' / m, and sigma' - r sigma = g^2 / (2 sigma)."""
    rate, g2 = (expand_like(v.to(y.dtype), y) for v in (sde.rate(s), sde.g2(s)))
    return -2 * (out - rate * y) / g2


PREDICTS: dict[str, Callable[..., Tensor]] = {
    "score": lambda sde, s, out, y, m, sigma: out,
    "drift": lambda sde, s, out, y, m, sigma: out / expand_like(sde.g(s).to(y.dtype), y),
    "noise": lambda sde, s, out, y, m, sigma: -out / sigma,
    "x0": lambda sde, s, out, y, m, sigma: _of_x0(out, y, m, sigma),
    "v": lambda sde, s, out, y, m, sigma: _of_x0(m * y - sigma * out, y, m, sigma),
    "velocity": _of_velocity,
}


def score_of(output: Output, sde: SDE, predicts: str, s_min: float) -> Output:
    """The score of y at s from a network's output. Below s_min, where no network was trained, the
    score is that at s_min of the same y / m.

    Raises VdiffError for an unknown prediction, or v where m^2 + sigma^2 is not 1.
    """
    if predicts not in PREDICTS:
        raise VdiffError(f"predicts is {predicts!r}; it must be one of {', '.join(PREDICTS)} or F.")
    middle = torch.tensor([sde.T / 2], dtype=torch.float64)
    if predicts == "v" and abs(float(sde.m(middle) ** 2 + sde.var(middle)) - 1) > 1e-6:
        raise VdiffError("predicts is v, which needs a schedule with m^2 + sigma^2 = 1.")

    def score(y: Tensor, s: Tensor) -> Tensor:
        m, sigma = (expand_like(v.to(y.dtype), y) for v in (sde.m(s), sde.sigma(s)))
        return PREDICTS[predicts](sde, s, output(y, s), y, m, sigma)

    return held_score(score, sde, s_min)


def held_score(score: Output, sde: SDE, s_0: float) -> Output:
    """The score of y at s, below s_0 that at s_0 of the same y / m; it is asked for times in
    float64."""

    def held(y: Tensor, s: Tensor) -> Tensor:
        s = s.double()
        later = s.clamp(min=s_0)
        ratio = expand_like((sde.m(later) / sde.m(s)).to(y.dtype), y)
        # The score is a derivative by y, so what scales y scales it.
        return ratio * score(ratio * y, later)

    return held


def drift_of(
    output: Output, sde: SDE, predicts: str = "drift", s_min: float | None = None
) -> Drift:
    """The drift a = g * score from a network's output, as `score_of` has it; without s_min a
    network that outputs the drift is taken as it is, at every time. Raises as `score_of` does."""
    if predicts == "drift" and s_min is None:
        return output

    def like(y: Tensor, s: Tensor) -> Tensor:
        return output(y, s.to(y.dtype)).to(y.dtype)

    score = (
        score_of(like, sde, predicts, SMALLEST)
        if s_min is None
        else score_of(output, sde, predicts, s_min)
    )
    return lambda y, s: expand_like(sde.g(s).to(y.dtype), y) * score(y, s)


def edm_output(network: Callable[..., Tensor], sigma_data: float) -> Output:
    """x-hat of EDM's network F, which sees c_in y and log(sigma) / 4, for the SDE `ve`."""

    def x0(y: Tensor, s: Tensor) -> Tensor:
        sigma = expand_like(s.to(y.dtype), y)
        total = sigma.square() + sigma_data**2
        F = network(y / total.sqrt(), s.log() / 4)
        return sigma_data**2 / total * y + sigma * sigma_data / total.sqrt() * F

    return x0
