"""The eigenvectors of the whole covariance: d x d numbers, and d^3 operations to find them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.transforms import Transform, covariance


@dataclass(frozen=True)
class Dense:
    """vectors: (d, d) float64, in columns."""

    vectors: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.vectors.to(x)


def fit(x: Tensor) -> tuple[Transform, Tensor]:
    eigenvalues, vectors = torch.linalg.eigh(covariance(x.flatten(1)))
    return Dense(vectors), eigenvalues.clamp(min=1e-9)
