"""The variance-preserving SDE of the paper (Song et al., arXiv 2011.13456).

f(y, s) = -beta(s) y / 2, g(s) = sqrt(beta(s)), beta(s) = beta_min + (beta_max - beta_min) s.
With B = int_0^s beta: m = exp(-B/2), sigma^2 = 1 - exp(-B), log NSR = log(exp(B) - 1).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE


@dataclass(frozen=True)
class VPSDE(SDE):
    beta_min: float = 0.1
    beta_max: float = 20.0
    T: float = 1.0

    def beta(self, s: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * s

    def B(self, s: Tensor) -> Tensor:
        """Integrated beta: int_0^s beta."""
        return s * (self.beta_min + (self.beta_max - self.beta_min) * s / 2)

    def invert_B(self, B: Tensor) -> Tensor:
        """The time s at which the integrated beta is B (the stable root of the quadratic)."""
        slope = self.beta_max - self.beta_min
        return 2 * B / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * B))

    def log_m(self, s: Tensor) -> Tensor:
        return -self.B(s) / 2

    def rate(self, s: Tensor) -> Tensor:
        return -self.beta(s) / 2

    def g2(self, s: Tensor) -> Tensor:
        return self.beta(s)

    def var(self, s: Tensor) -> Tensor:
        """By expm1: the naive float32 form is 1.2% off at s = 1e-5."""
        return -torch.expm1(-self.B(s))

    def log_nsr(self, s: Tensor) -> Tensor:
        B = self.B(s)
        return B + torch.log(-torch.expm1(-B))

    def invert_log_nsr(self, value: Tensor) -> Tensor:
        """B is the softplus of log NSR."""
        return self.invert_B(torch.nn.functional.softplus(value, threshold=50))


Schedule = VPSDE
