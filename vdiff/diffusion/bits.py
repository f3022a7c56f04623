"""From grey levels to real vectors and from nats to bits per dimension.

Uniform dequantisation x = (k + u) / levels with u ~ U[0, 1); then either the logit transform
logit(alpha + (1 - 2 alpha) x) (real=True) or a line from [0, 1] to [low, high] (real=False). Both
come with their log-determinant, so that densities stay normalised.
"""

import math

import torch
from torch import Tensor

from vdiff.diffusion.tensors import sum_features

ALPHA = 0.05


def dequantise(k: Tensor, u: Tensor, levels: int) -> Tensor:
    """x = (k + u) / levels in [0, 1); k (B, ...) integer levels 0..levels-1, u like k."""
    return (k.to(u.dtype) + u) / levels


def to_real(
    x: Tensor, real: bool = True, low: float = -1.0, high: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(y, log|det dy/dx|): x (B, ...) in [0, 1] to y (B, ...) and (B,) nats."""
    if not real:
        log_det = x[0].numel() * math.log(high - low)
        return low + (high - low) * x, x.new_full((len(x),), log_det)
    p = ALPHA + (1 - 2 * ALPHA) * x
    log_p, log_q = torch.log(p), torch.log1p(-p)
    return log_p - log_q, sum_features(math.log1p(-2 * ALPHA) - log_p - log_q)


def to_unit(y: Tensor, real: bool = True, low: float = -1.0, high: float = 1.0) -> Tensor:
    """The inverse of `to_real`: y to x; samples may fall outside [0, 1]."""
    if not real:
        return (y - low) / (high - low)
    return (torch.sigmoid(y) - ALPHA) / (1 - 2 * ALPHA)


def bits_per_dim(log_prob: Tensor, d: int, levels: int) -> Tensor:
    """-log_prob / (d ln 2) + log2(levels), (B,) nats to (B,) bits/dim.

    log_prob is the log density on [0, 1]^d: that of y in R^d plus the log_det of `to_real`.
    log2(levels) undoes the division. A uniform density costs log2(levels) bits for each dimension:

    >>> bits_per_dim(torch.zeros(1), 784, 256)
    tensor([8.])
    """
    return -log_prob / (d * math.log(2)) + math.log2(levels)
