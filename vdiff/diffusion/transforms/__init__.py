"""Orthonormal coordinates in which a covariance is taken to be diagonal: a file for each kind.

A fit takes vectors x (N, ...), float32 or float64, and returns a transform and the variances (d,)
of its coordinates, float64, on the device of x. A transform takes x (B, ...) to coordinates (B, d)
in the precision of x; that it is orthonormal is what the control variates' means rest on.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

NUMBERS = 2**21
"""Of float64 at once, so that memory does not grow with the number of examples."""


class Transform(Protocol):
    def __call__(self, x: Tensor) -> Tensor:
        """x (B, ...) in the coordinates, (B, d)."""


Fit = Callable[[Tensor], tuple[Transform, Tensor]]


def rows_of(x: Tensor) -> list[slice]:
    """The rows of x (N, ...), a few at a time."""
    many = max(1, NUMBERS // max(x[0].numel(), 1))
    return [slice(k, k + many) for k in range(0, len(x), many)]


def parts(x: Tensor) -> Iterator[Tensor]:
    """x (N, ...) by these rows."""
    return (x[rows] for rows in rows_of(x))


def mean(transform: Transform, x: Tensor) -> Tensor:
    """Of the coordinates of x (N, ...), (d,) float64."""
    total = torch.zeros(x[0].numel(), dtype=torch.float64, device=x.device)
    for p in parts(x):
        total += transform(p).double().sum(0)
    return total / len(x)


def variances(transform: Transform, x: Tensor) -> Tensor:
    """Of the coordinates of x (N, ...), (d,) float64, a millionth of their mean at least."""
    middle = mean(transform, x)
    total = torch.zeros_like(middle)
    for p in parts(x):
        total += (transform(p).double() - middle).square().sum(0)
    variance = total / max(len(x) - 1, 1)
    return variance.clamp(min=max(1e-6 * float(variance.mean()), 1e-9))


def covariance(z: Tensor) -> Tensor:
    """Of rows z (N, k), (k, k) float64, shrunk towards its diagonal: few examples leave directions
    without variance, and the diagonal keeps every eigenvalue honest."""
    n, k = z.shape
    z = z.double()
    z = z - z.mean(0)
    S = z.T @ z / max(n - 1, 1)
    shrink = min(0.5, k / (n + k))
    diagonal = S.diagonal().clamp(min=1e-6 * float(S.diagonal().mean()))
    return (1 - shrink) * S + shrink * torch.diag(diagonal)
