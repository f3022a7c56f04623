"""Grey levels on a lattice: two pixels of four levels, of a law that is known, and its network."""

import torch
from torch import Tensor

LEVELS, SHAPE = 4, (1, 1, 2)
POINTS = torch.cartesian_prod(*2 * [torch.arange(LEVELS)])  # (16, 2) grey levels
CENTRES = 2 * (POINTS.double() + 0.5) / LEVELS - 1
P = torch.rand(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64).square()
P = P / P.sum()


def examples(n: int, generator: torch.Generator | None = None) -> Tensor:
    """(n, *SHAPE) uint8 of that law, or, without a generator, n of each point in turn."""
    if generator is None:
        k = torch.arange(16).repeat_interleave(n)
    else:
        k = torch.multinomial(P, n, replacement=True, generator=generator)
    return POINTS[k].to(torch.uint8).reshape(-1, *SHAPE)


def denoised(y: Tensor, m: Tensor, sigma: Tensor, off: float = 0.0) -> Tensor:
    """E[x | y] at y = m x + sigma eps (B, 2), m and sigma (B, 1), float64; off: by how much of the
    noise it is wrong."""
    far = (y[:, None] - m[:, None] * CENTRES).square().sum(2)
    x0 = torch.softmax(P.log() - far / (2 * sigma.square()), 1) @ CENTRES
    return x0 + off * sigma * torch.sin(3 * y)


def grid(reach: float, step: float) -> tuple[Tensor, Tensor]:
    """Standard normal noise (K, 2) on a grid, and its weights (K,)."""
    e = torch.arange(-reach, reach + step / 2, step, dtype=torch.float64)
    eps = torch.cartesian_prod(e, e)
    return eps, torch.softmax(-eps.square().sum(1) / 2, 0)
