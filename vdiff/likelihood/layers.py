"""The likelihood of the model that a number of sampling steps are, bounded by weighted paths."""

import torch
from torch import Tensor

from vdiff.diffusion.discrete import log_mean_exp, log_weight
from vdiff.diffusion.drift import Drift, checked, in_float64
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.stepping import Noise


@torch.no_grad()
def path_weights(sde: SDE, a: Drift, y: Tensor, layers: int, noise: Noise) -> Tensor:
    """log w of one path of that many layers for each y (B, ...), (B,) nats, float64; `noise` is
    asked once a layer."""
    times = grid_of("log_snr", sde, layers)
    return log_weight(sde, in_float64(checked(a)), y.double(), times, noise)


def of_groups(log_w: Tensor, draws: int) -> Tensor:
    """(N, K // draws): the bound by each group of `draws` paths of log weights (N, K)."""
    return log_mean_exp(log_w.T, draws).T
