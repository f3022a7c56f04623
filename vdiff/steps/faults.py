"""Formulas made wrong on purpose, by wrong ingredients: the claims' tests must reject them."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.stepping import Noise

NONE = "none"
NO_G = "divergence without its g"
NO_PRIOR = "prior left out"
WIDE = "noise 5% off"
NO_HALF = "drift without 1 - lambda/2"
NO_ROOM = "bound without 1/(1 - lambda)"
WRONG_SCORE = "true score 5% off"
STRONG = "drift 5% off"
NO_F = "drift without f"
OFF = 1.05


class _Changed:
    """An SDE in which some functions are others; what calls the SDE's own keeps the true ones."""

    def __init__(self, sde: SDE, **changed: Callable) -> None:
        self.sde, self.changed = sde, changed

    def __getattr__(self, name: str) -> Any:
        return self.changed[name] if name in self.changed else getattr(self.sde, name)


def without_prior(sde: SDE) -> SDE:
    return cast(SDE, _Changed(sde, prior_log_prob=lambda y: y.new_zeros(len(y))))


def without_g(sde: SDE) -> SDE:
    """For formulas that need g for the divergence alone."""
    return cast(SDE, _Changed(sde, g=torch.ones_like))


def without_f(sde: SDE) -> SDE:
    return cast(SDE, _Changed(sde, f=lambda y, s: torch.zeros_like(y)))


def wide_decoder(sde: SDE) -> SDE:
    """For the layers of a VAE, whose decoders have the variance h g^2."""
    return cast(SDE, _Changed(sde, g2=lambda s: OFF**2 * sde.g2(s)))


def wide(noise: Noise) -> Noise:
    return lambda x: OFF * noise(x)


def scaled(a: Drift, factor: float) -> Drift:
    def drift(y: Tensor, s: Tensor) -> Tensor:
        return factor * a(y, s)

    return drift
