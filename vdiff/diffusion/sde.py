"""Forward SDEs dY = f ds + g dB with a linear drift f(y, s) = rate(s) y: the contract of each.

Given x, Y_s is N(m x, sigma^2 I) with rate = d log m / ds and g^2 = d sigma^2 / ds - 2 rate
sigma^2. Two identities hold for all of them and make the rest of the code independent of the
schedule: g^2 / sigma^2 = d/ds log(sigma^2 / m^2), and -int_0^T div f ds = -d log m(T).

Times s are tensors (B,) in [0, T]; coefficients come back as (B,) in the dtype of s.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from vdiff.diffusion.tensors import expand_like, sum_features


class SDE(ABC):
    """One schedule: two functions of time (log m and log NSR), their derivatives, an inverse."""

    T: float
    prior_sd: float = 1.0
    """The reverse SDE starts from N(0, prior_sd^2 I)."""

    @abstractmethod
    def log_m(self, s: Tensor) -> Tensor:
        """The logarithm of the scale m."""

    @abstractmethod
    def rate(self, s: Tensor) -> Tensor:
        """d log m / ds, so that f(y, s) = rate(s) y."""

    @abstractmethod
    def g2(self, s: Tensor) -> Tensor:
        """g^2, the squared diffusion coefficient (beta of the VP SDE)."""

    @abstractmethod
    def var(self, s: Tensor) -> Tensor:
        """sigma^2, accurate down to s = 0."""

    @abstractmethod
    def log_nsr(self, s: Tensor) -> Tensor:
        """log(sigma^2 / m^2), the log noise-to-signal ratio; it grows with s."""

    @abstractmethod
    def invert_log_nsr(self, value: Tensor) -> Tensor:
        """The time at which `log_nsr` is `value`."""

    def m(self, s: Tensor) -> Tensor:
        return self.log_m(s).exp()

    def sigma(self, s: Tensor) -> Tensor:
        return self.var(s).sqrt()

    def g(self, s: Tensor) -> Tensor:
        return self.g2(s).sqrt()

    def weight(self, s: Tensor) -> Tensor:
        """g^2 / sigma^2, the weight that makes the DSM loss the ELBO; it is d log_nsr / ds."""
        return self.g2(s) / self.var(s)

    def f(self, y: Tensor, s: Tensor) -> Tensor:
        """The drift of the forward SDE, y (B, ...)."""
        return expand_like(self.rate(s), y) * y

    def div_f(self, s: Tensor, d: int) -> Tensor:
        """Divergence of f in d dimensions, (B,)."""
        return self.rate(s) * d

    def minus_integral_of_div_f(self, d: int) -> float:
        """-int_0^T div f ds = -d log m(T), in nats."""
        return -d * float(self.log_m(at(self.T)))

    def perturb(self, x: Tensor, s: Tensor, eps: Tensor) -> Tensor:
        """y = m x + sigma eps, a draw of Y_s given x, (B, ...)."""
        m, sigma = self.m(s).to(x.dtype), self.sigma(s).to(x.dtype)
        return expand_like(m, x) * x + expand_like(sigma, x) * eps

    def prior_log_prob(self, y: Tensor) -> Tensor:
        """log N(y; 0, prior_sd^2 I) in nats, y (B, ...) to (B,)."""
        d, v = y[0].numel(), self.prior_sd**2
        return -(sum_features(y.square()) / v + d * math.log(2 * math.pi * v)) / 2

    def expected_prior(self, x: Tensor) -> Tensor:
        """E[log N(Y_T; 0, prior_sd^2 I)] given x (B, ...), (B,) float64, in closed form."""
        T, d, v = at(self.T), x[0].numel(), self.prior_sd**2
        # By numbers: a GPU takes no tensor of the host's before it has done all it was asked for.
        m2, var = float(self.m(T).square()), float(self.var(T))
        square = m2 * sum_features(x.double().square()) + var * d
        return -(square / v + d * math.log(2 * math.pi * v)) / 2


def at(s: float) -> Tensor:
    """One time as a float64 tensor, ()."""
    return torch.tensor(s, dtype=torch.float64)
