"""Whether a network is what it is said to be: how well it denoises."""

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like
from vdiff.errors import VdiffError

WORSE = 1.5  # times the squared error of a linear denoiser, above which a network is none
SLIPS = 0.05  # of the noise's variance, that a network may miss
LEVELS = (0.003, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999)  # of log NSR, at which a denoiser is checked


@torch.no_grad()
def check_denoiser(sde: SDE, a: Drift, y: Tensor, s_min: float, rng: torch.Generator) -> None:
    """Raise VdiffError unless the drift denoises vectors y (N, ...) of the data at least as well as
    the linear denoiser that knows their mean and variance alone, with a squared error of
    nsr v / (nsr + v)."""
    ends = sde.log_nsr(torch.tensor([s_min, sde.T], dtype=torch.float64))
    mean = y.mean(0, keepdim=True)
    spread = float((y - mean).square().mean())
    for level in LEVELS:
        s = sde.invert_log_nsr(ends[0] + level * (ends[1] - ends[0]))
        many = s.expand(len(y))
        noisy = sde.perturb(y, many, torch.randn(y.shape, generator=rng, dtype=y.dtype))
        weight = expand_like((sde.var(many) / sde.g(many)).to(y.dtype), y)
        guess = (noisy + weight * a(noisy, many)) / float(sde.m(s))
        error = float((guess - y).square().mean())
        nsr = float(sde.log_nsr(s).exp())
        linear = nsr * spread / (nsr + spread)
        # What is small for a network that predicts the noise is large as an error of x.
        if not error <= max(WORSE * linear, SLIPS * nsr):
            raise VdiffError(
                f"At the noise level sigma / m = {nsr**0.5:.3g} the network denoises with a "
                f"root mean square error of {error**0.5:.3g}, where a straight line would have "
                f"{linear**0.5:.3g}: the schedule, what it predicts, the range or its time are "
                "not what it was trained with, or it was hardly trained "
                "(check=False goes on regardless)."
            )
