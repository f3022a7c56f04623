"""The exact likelihood of the probability-flow ODE, lmbd = 1 (Song et al., arXiv 2011.13456).

dY = (f - g a / 2) ds from Y_0 = x to Y_T, and by the change of variables

    log p(x) = log N(Y_T; 0, I) + int_0^T div(f - g a / 2) ds,

with torchdiffeq's adaptive dopri5. This is the likelihood of the ODE as a model of its own; the
ELBO bounds that of the reverse SDE. The two agree when a is exact.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.divergence import exact_divergence, hutchinson
from vdiff.diffusion.drift import Drift
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.solver import solve


@dataclass(frozen=True)
class Likelihood:
    """log_prob: (B,) nats, float64; evaluations: of the network, for the whole batch."""

    log_prob: Tensor
    evaluations: int


def log_likelihood(
    sde: SDE,
    a: Drift,
    x: Tensor,
    probe: Tensor | None = None,
    tolerance: float = 1e-5,
) -> Likelihood:
    """Of x (B, ...); exact trace without a probe, otherwise Hutchinson's with it, like x.

    Raises VdiffError when the solver cannot reach its tolerance, rtol and atol.

    A probe is held along the way, so that the ODE stays an ODE; over probes the estimate of
    log_prob is unbiased up to the solver's error.
    """
    flow = Reverse(sde, a, 1.0)

    def field(s: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, _ = state
        s = s.clamp(max=sde.T)  # the solver's last step goes beyond, and is interpolated

        def velocity(y: Tensor) -> Tensor:
            return -flow.mu(y, s.expand(len(y)))

        if probe is None:
            return exact_divergence(velocity, y)
        return hutchinson(velocity, y, probe)

    x = x.double()
    start = (x, torch.zeros(len(x), dtype=x.dtype, device=x.device))
    times = torch.tensor([0.0, sde.T], dtype=x.dtype, device=x.device)
    (y, change), evaluations = solve(field, start, times, tolerance)
    return Likelihood(sde.prior_log_prob(y[-1]) + change[-1], evaluations)
