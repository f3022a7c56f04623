"""The variance-preserving SDE of the cosine schedule (Nichol and Dhariwal, arXiv 2102.09672).

With the angle w s, w = arccos(end) / T: m = cos(w s), sigma = sin(w s), log NSR = 2 log tan(w s),
and g^2 = -2 d log m / ds = 2 w tan(w s). `end` is the scale m that is left at T.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE


@dataclass(frozen=True)
class CosineSDE(SDE):
    end: float = 0.01
    T: float = 1.0

    @property
    def w(self) -> float:
        return math.acos(self.end) / self.T

    def log_m(self, s: Tensor) -> Tensor:
        return torch.cos(self.w * s).log()

    def rate(self, s: Tensor) -> Tensor:
        return -self.w * torch.tan(self.w * s)

    def g2(self, s: Tensor) -> Tensor:
        return 2 * self.w * torch.tan(self.w * s)

    def var(self, s: Tensor) -> Tensor:
        return torch.sin(self.w * s).square()

    def log_nsr(self, s: Tensor) -> Tensor:
        return 2 * torch.tan(self.w * s).log()

    def invert_log_nsr(self, value: Tensor) -> Tensor:
        return torch.atan(torch.exp(value / 2)) / self.w


Schedule = CosineSDE
