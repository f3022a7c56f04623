"""Another transform's coordinates, those of most variance turned into eigenvectors of their own.

Low rank where correlation is worth most, diagonal for the rest. With all coordinates it is `dense`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.transforms import Fit, Transform, covariance, parts

MANY = 256
"""Coordinates that are turned, at most: a matrix of that size costs less than a network."""


@dataclass(frozen=True)
class Leading:
    """where: (k,) coordinates of `first` that are turned, vectors: (k, k) float64, in columns."""

    first: Transform
    where: Tensor
    vectors: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        z = self.first(x)
        turned = z[:, self.where] @ self.vectors.to(z)
        return z.index_copy(1, self.where, turned)


def fit_on(first: Fit, many: int = MANY) -> Fit:
    """The fit of the transform on top of another."""

    def fit(x: Tensor) -> tuple[Transform, Tensor]:
        inner, variance = first(x)
        where = variance.topk(min(many, len(variance))).indices
        z = torch.cat([inner(p)[:, where] for p in parts(x)])
        eigenvalues, vectors = torch.linalg.eigh(covariance(z))
        variance = variance.index_copy(0, where, eigenvalues.clamp(min=1e-9))
        return Leading(inner, where, vectors), variance

    return fit
