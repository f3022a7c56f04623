"""The variance-exploding SDE with the noise level itself as time (Karras et al., arXiv 2206.00364).

f = 0, m = 1, sigma(s) = s on [0, T], T the largest noise level; g^2 = 2 s, log NSR = 2 log s. Other
schedules of a variance-exploding SDE are this one in another time, which no likelihood depends on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE


@dataclass(frozen=True)
class VESDE(SDE):
    T: float = 80.0

    @property
    def prior_sd(self) -> float:  # type: ignore[override]
        return self.T

    def log_m(self, s: Tensor) -> Tensor:
        return 0 * s

    def rate(self, s: Tensor) -> Tensor:
        return 0 * s

    def g2(self, s: Tensor) -> Tensor:
        return 2 * s

    def var(self, s: Tensor) -> Tensor:
        return s.square()

    def log_nsr(self, s: Tensor) -> Tensor:
        return 2 * s.log()

    def invert_log_nsr(self, value: Tensor) -> Tensor:
        return torch.exp(value / 2)


Schedule = VESDE
