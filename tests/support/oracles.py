"""Gaussian data: the drift is known in closed form."""

from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like


def gaussian_drift(sde: SDE, variance: float):
    """The exact drift a = g * score for data N(0, variance I)."""

    def a(y: Tensor, s: Tensor) -> Tensor:
        s = s.double()
        marginal = sde.m(s).square() * variance + sde.var(s)
        return -expand_like((sde.g(s) / marginal).to(y.dtype), y) * y

    return a
