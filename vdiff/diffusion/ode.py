"""The exact likelihood of the probability-flow ODE, lmbd = 1 (Song et al., arXiv 2011.13456).

dY = (f - g a / 2) ds from Y_0 = x to Y_T, and by the change of variables

    log p(x) = log N(Y_T; 0, prior_sd^2 I) + int_0^T div(f - g a / 2) ds,

with adaptive steps for each example. This is the likelihood of the ODE as a model of its own; the
ELBO bounds that of the reverse SDE. The two agree when a is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.divergence import exact_divergence, hutchinson
from vdiff.diffusion.drift import Drift
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.solver import check_tolerance, solve_each
from vdiff.diffusion.tensors import expand_like, sum_features
from vdiff.errors import VdiffError

STEPS = tuple(0.3 * 3.0**-k for k in range(9))
"""Of finite differences, by the root mean square of an example: 0.3 for a network in bfloat16, 5e-5
for one that tells grey levels apart."""
DIRECTIONS = 8
MISMATCH = 0.05  # of a derivative, relative, in a direction
NEEDED = "method ode and gradient need them, method elbo does not."


@dataclass(frozen=True)
class Solution:
    """log_prob: (B,) nats, float64; evaluations: by the solver for each example, (B,) int64."""

    log_prob: Tensor
    evaluations: Tensor


@torch.no_grad()
def log_likelihood(
    sde: SDE,
    a: Drift,
    x: Tensor,
    probe: Tensor | None = None,
    tolerance: float = 1e-5,
    of_rows: Callable[[Tensor], Drift] | None = None,
) -> Solution:
    """The log likelihood of x (B, ...): by the exact trace, or Hutchinson's with a probe like x.

    of_rows: the drift of those rows of x, (K,) int64, if it is not one for all: examples that are
    done leave the batch. tolerance is rtol and atol of each example.
    Raises VdiffError when the solver cannot reach it, or when a blocks gradients.

    A probe is held along the way, so that the ODE stays an ODE; over probes the estimate of
    log_prob is unbiased up to the solver's error.
    """
    x = x.double()
    check_tolerance(tolerance)
    _pulled_back(a, x, x.new_zeros(len(x)), x)  # else its divergence would be taken as 0

    def field(s: Tensor, state: Tensor, rows: Tensor) -> Tensor:
        flow = Reverse(sde, a if of_rows is None or len(rows) == len(x) else of_rows(rows), 1.0)

        def velocity(y: Tensor) -> Tensor:
            return -flow.mu(y, s)

        y = state[:, :-1].reshape(-1, *x.shape[1:])
        if probe is None:
            v, div = exact_divergence(velocity, y)
        else:
            v, div = hutchinson(velocity, y, probe[rows])
        return torch.cat([v.flatten(1), div[:, None]], 1)

    start = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], 1)
    end, evaluations = solve_each(field, start, sde.T, tolerance)
    return Solution(sde.prior_log_prob(end[:, :-1]) + end[:, -1], evaluations)


@torch.no_grad()
def check_gradient(a: Drift, y: Tensor, s: Tensor, rng: torch.Generator) -> None:
    """Raise VdiffError unless autograd differentiates all of a at y (B, ...), s (B,).

    In random directions, at least DIRECTIONS over all examples, it is compared with finite
    differences; most of them must disagree. It takes 19 evaluations of a for each direction.
    """
    off = torch.cat([_disagrees(a, y, s, rng) for _ in range(-(-DIRECTIONS // len(y)))])
    if off.sum() > len(off) / 2:
        raise VdiffError(
            "The network's gradients are not the derivatives of its output (part of it is under "
            f"detach or torch.no_grad, or rounded); {NEEDED}"
        )


def _disagrees(a: Drift, y: Tensor, s: Tensor, rng: torch.Generator) -> Tensor:
    """Whether w^T da/dy u by autograd and by central differences differ, (B,), for normal w, u.

    The step is that from which the differences change least to the next. The change is taken as
    their error, so that no network is refused for its precision, as bfloat16 is, or for kinks.
    """
    w, u = (torch.randn(y.shape, generator=rng, device=rng.device).to(y) for _ in range(2))
    by_autograd = sum_features(_pulled_back(a, y, s, w) * u)
    size = expand_like(y.flatten(1).square().mean(1).sqrt(), y)

    def difference(step: float) -> Tensor:
        h = step * size
        return ((a(y + h * u, s) - a(y - h * u, s)) / (2 * h)).flatten(1).double()

    slopes = torch.stack([difference(step) for step in STEPS])
    norms = slopes.norm(dim=2)
    changes = slopes.diff(dim=0).norm(dim=2) / torch.minimum(norms[1:], norms[:-1])
    error, k = changes.nan_to_num(torch.inf).min(0)  # 0 / 0 where the steps are lost in rounding
    slope, norm = (v[1:][k, torch.arange(len(y), device=y.device)] for v in (slopes, norms))
    off = (sum_features(w * slope.reshape(y.shape)) - by_autograd).abs() / norm
    return off > MISMATCH + 3 * error


def _pulled_back(a: Drift, y: Tensor, s: Tensor, w: Tensor) -> Tensor:
    """w^T da/dy, like y. Raises VdiffError when autograd does not lead from a to y."""
    slope = None
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        try:
            out = a(y, s)
            if out.requires_grad:
                (slope,) = torch.autograd.grad((out * w).sum(), y, allow_unused=True)
        except RuntimeError as error:
            if "numpy()" not in str(error):  # which a tensor that requires gradients refuses
                raise
    if slope is None:
        raise VdiffError(
            "The network blocks gradients (torch.no_grad, inference_mode or detach inside it); "
            f"{NEEDED}"
        )
    return slope
