"""The discrete cosine transform of each decorrelated colour, which suits stationary images.

Of x (C, n_1, n_2, ...) the first axis is the colours', which their C x C covariance decorrelates;
each other axis gets the orthonormal DCT-II, as products with n x n matrices: d times the sum of the
n operations, on any device. Vectors (d,) and (n_1, n_2) have no colours.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.transforms import Transform, parts, variances


@dataclass(frozen=True)
class Cosine:
    """colours: (C, C) float64, eigenvectors in columns, None without; cosines: (n, n) for each
    other axis, frequencies in rows."""

    colours: Tensor | None
    cosines: tuple[Tensor, ...]

    def __call__(self, x: Tensor) -> Tensor:
        if self.colours is not None:
            x = (x.flatten(2).transpose(1, 2) @ self.colours.to(x)).transpose(1, 2).reshape(x.shape)
        first = x.ndim - len(self.cosines)
        for k, matrix in enumerate(self.cosines):
            x = (x.movedim(first + k, -1) @ matrix.T.to(x)).movedim(-1, first + k)
        return x.flatten(1)


def cosines(n: int) -> Tensor:
    """The orthonormal DCT-II, (n, n) float64, frequencies in rows."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    matrix = math.sqrt(2 / n) * torch.cos(math.pi * k * (2 * i + 1) / (2 * n))
    matrix[0] /= math.sqrt(2)
    return matrix


def fit(x: Tensor) -> tuple[Transform, Tensor]:
    colours = None
    if x.ndim > 3:
        n, mean = x[:, 0].numel(), x.transpose(0, 1).flatten(1).double().mean(1)[:, None]
        each = (p.transpose(0, 1).flatten(1).double() - mean for p in parts(x))
        colours = torch.linalg.eigh(torch.stack([z @ z.T for z in each]).sum(0) / n)[1]
    axes = x.shape[2:] if colours is not None else x.shape[1:]
    transform = Cosine(colours, tuple(cosines(n).to(x.device) for n in axes))
    return transform, variances(transform, x)
