"""The plug-in reverse SDE and its lambda family, in reversed time t = T - s.

dX = ((1 - lmbd/2) g a - f) dt + sqrt(1 - lmbd) g dB, lmbd <= 1 (arXiv 2106.02808):
lmbd = 0 is the reverse SDE, lmbd = 1 the probability-flow ODE. All members share their
marginals when a = g * score is exact.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like
from vdiff.errors import VdiffError


def check_lmbd(lmbd: float) -> None:
    """Raise VdiffError unless lmbd <= 1."""
    if not (math.isfinite(lmbd) and lmbd <= 1):
        raise VdiffError(f"lmbd is {lmbd}; it must be a finite number of at most 1.")


def bound_factor(lmbd: float) -> float:
    """What a drift's error costs in the bound of the lambda member, (1 - lmbd/2)^2 / (1 - lmbd):

    E log p_lmbd(x) >= -H(q) - KL(q_T || prior) - factor * int 1/2 E||a - g grad log q_s||^2 ds.

    The forward SDE dY = (f - lmbd/2 g^2 grad log q_s) ds + sqrt(1 - lmbd) g dB has the data's
    marginals q_s, and its reversal differs from the lambda member by the drift
    (1 - lmbd/2) (g a - g^2 grad log q_s); by Girsanov the divergence of their paths is the
    integral above (derived; docs/claims.md). The factor is 1, its least, at lmbd = 0, and
    infinite at lmbd = 1: the bound says nothing about the ODE.
    """
    check_lmbd(lmbd)
    return math.inf if lmbd == 1 else (1 - lmbd / 2) ** 2 / (1 - lmbd)


@dataclass(frozen=True)
class Reverse:
    """mu and sigma of the lambda family at forward time s = T - t."""

    sde: SDE
    a: Drift
    lmbd: float = 0.0

    def __post_init__(self) -> None:
        check_lmbd(self.lmbd)

    def mu(self, x: Tensor, s: Tensor) -> Tensor:
        """(1 - lmbd/2) g a - f, (B, ...)."""
        g = expand_like(self.sde.g(s).to(x.dtype), x)
        return (1 - self.lmbd / 2) * g * self.a(x, s) - self.sde.f(x, s.to(x.dtype))

    def sigma(self, s: Tensor) -> Tensor:
        """sqrt(1 - lmbd) g, (B,)."""
        return math.sqrt(1 - self.lmbd) * self.sde.g(s)
