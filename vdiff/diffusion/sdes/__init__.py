"""Forward SDEs, one per file. The module's name is its `kind`, here and, of those that can be
trained (vp, cosine), in the configuration."""

import importlib
import pkgutil

from vdiff.diffusion.sde import SDE
from vdiff.errors import VdiffError

KINDS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def sde_of(kind: str, **parameters: float) -> SDE:
    """The SDE of that kind, for example sde_of("vp", beta_max=10.0).

    Raises VdiffError for an unknown kind.

    >>> round(sde_of("vp").minus_integral_of_div_f(2), 6)  # B(T) d / 2
    10.05
    """
    if kind not in KINDS:
        raise VdiffError(f"The SDE is {kind!r}; it must be one of {', '.join(KINDS)}.")
    return importlib.import_module(f"{__name__}.{kind}").Schedule(**parameters)
