"""Divergence of a vector field: exact, or Hutchinson's estimate with a given probe."""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.diffusion.tensors import sum_features
from vdiff.errors import VdiffError

Field = Callable[[Tensor], Tensor]
PROBES = ("rademacher", "gaussian")


def exact_divergence(
    field: Field, y: Tensor, differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """(field(y), its divergence (B,)), at the price of d backward passes; y (B, ...).

    differentiable: both can be differentiated again, by what the field depends on.
    """
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        v = field(y)
        flat = v.flatten(1)
        div = torch.zeros(len(y), dtype=y.dtype, device=y.device)
        for i in range(flat.shape[1]):
            (row,) = torch.autograd.grad(
                flat[:, i].sum(), y, retain_graph=True, create_graph=differentiable
            )
            div = div + row.flatten(1)[:, i]
    return (v if differentiable else v.detach()), div


def hutchinson(
    field: Field, y: Tensor, probe: Tensor, differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """(field(y), v^T (d field / dy) v (B,)) with probe v, like y, of identity covariance.

    differentiable: both can be differentiated again, by what the field depends on.
    """
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        v = field(y)
        (vjp,) = torch.autograd.grad((v * probe).sum(), y, create_graph=differentiable)
    return (v if differentiable else v.detach()), sum_features(vjp * probe)


def probe_from_uniform(u: Tensor, kind: str) -> Tensor:
    """A Rademacher or Gaussian probe from uniforms u in (0, 1), of the same shape."""
    if kind == "rademacher":
        return torch.where(u < 0.5, -1.0, 1.0).to(u.dtype)
    if kind == "gaussian":
        return torch.special.ndtri(u.double().clamp(1e-12, 1 - 1e-12)).to(u.dtype)
    raise VdiffError(f"The probe is {kind!r}; it must be one of {', '.join(PROBES)}.")
