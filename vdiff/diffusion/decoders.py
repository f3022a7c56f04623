"""Decoders: the log probability of grey levels given a vector near them, each pixel by itself.

Levels k = 0..L-1 have the values c_0 < ... < c_L-1; the edges between them are (L - 1,).

    discretised Gaussian (arXiv 2006.11239):  log of the mass of N(mu, v) between the edges of k,
                                              those of the first and the last at infinity
    categorical (arXiv 2107.00630):           p(k | z) proportional to N(z; m c_k, sigma^2)
"""

import math

import torch
from torch import Tensor

from vdiff.diffusion.tensors import sum_features

REACH, STEP = 9.0, 0.05
"""Of the trapezoidal rule over a standard normal. The integrand is analytic up to pi / D from the
real line, D the levels' distance in sigmas, and straight within REACH for D > 2 REACH: an error of
exp(-2 pi (pi / 18) / STEP) = 3e-10 of it."""


def discretised_gaussian(k: Tensor, mu: Tensor, log_v: Tensor, edges: Tensor) -> Tensor:
    """log p(k), (B,) nats, of levels k (B, ...); mu and log_v (B, ...) float64, or broadcast."""
    end = edges.new_tensor([math.inf])
    low, high = torch.cat([-end, edges])[k.long()], torch.cat([edges, end])[k.long()]
    sd = (log_v / 2).exp()
    return sum_features(log_mass((low - mu) / sd, (high - mu) / sd))


def log_mass(a: Tensor, b: Tensor) -> Tensor:
    """log(Phi(b) - Phi(a)) for a < b, precise in both tails."""
    a, b = torch.where(a > 0, -b, a), torch.where(a > 0, -a, b)
    near, far = torch.special.log_ndtr(b), torch.special.log_ndtr(a)
    return near + torch.log(-torch.expm1(far - near))


def expected_categorical(c: Tensor, nsr: float) -> Tensor:
    """E[log p(k | z)] given the level k, for z = m c_k + sigma eps: (L,) nats, by quadrature; c
    (L,) float64, nsr = sigma^2 / m^2."""
    eps = torch.arange(-REACH, REACH + STEP / 2, STEP, dtype=torch.float64)
    weight = torch.softmax(-eps.square() / 2, 0)
    far = [(c_k - c) / math.sqrt(nsr) for c_k in c]
    each = [torch.logsumexp(-(eps[:, None] + v).square() / 2, 1) for v in far]
    return torch.stack([weight @ (-eps.square() / 2 - total) for total in each])
