"""The variance-preserving forward SDE, dY = f ds + g dB (Song et al., arXiv 2011.13456).

f(y, s) = -beta(s) y / 2, g(s) = sqrt(beta(s)), beta(s) = beta_min + (beta_max - beta_min) s.
Given x, Y_s is N(m x, sigma^2 I) with m = exp(-B/2), sigma^2 = 1 - exp(-B), B = int_0^s beta.
Times s are tensors (B,) in [0, T]; coefficients come back as (B,) in the dtype of s.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.tensors import expand_like


@dataclass(frozen=True)
class VPSDE:
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

    def m(self, s: Tensor) -> Tensor:
        return torch.exp(-self.B(s) / 2)

    def var(self, s: Tensor) -> Tensor:
        """sigma^2 = 1 - exp(-B), by expm1: the naive float32 form is 1.2% off at s = 1e-5."""
        return -torch.expm1(-self.B(s))

    def sigma(self, s: Tensor) -> Tensor:
        return self.var(s).sqrt()

    def f(self, y: Tensor, s: Tensor) -> Tensor:
        return -expand_like(self.beta(s), y) * y / 2

    def g(self, s: Tensor) -> Tensor:
        return self.beta(s).sqrt()

    def div_f(self, s: Tensor, d: int) -> Tensor:
        """Divergence of f in d dimensions, (B,)."""
        return -self.beta(s) * d / 2

    def perturb(self, x: Tensor, s: Tensor, eps: Tensor) -> Tensor:
        """y = m x + sigma eps, a draw of Y_s given x, (B, ...)."""
        m, sigma = self.m(s).to(x.dtype), self.sigma(s).to(x.dtype)
        return expand_like(m, x) * x + expand_like(sigma, x) * eps

    def log_expm1_B(self, s: Tensor) -> Tensor:
        """log(exp(B) - 1) = -log SNR: the antiderivative of g^2 / sigma^2."""
        B = self.B(s)
        return B + torch.log(-torch.expm1(-B))

    def invert_log_expm1_B(self, value: Tensor) -> Tensor:
        """The time at which log(exp(B) - 1) is `value`: B is its softplus."""
        return self.invert_B(torch.nn.functional.softplus(value, threshold=50))


def standard_normal_log_prob(y: Tensor) -> Tensor:
    """log N(y; 0, I) in nats, y (B, ...) to (B,)."""
    y = y.flatten(1)
    return -(y.square().sum(1) + y.shape[1] * math.log(2 * math.pi)) / 2
