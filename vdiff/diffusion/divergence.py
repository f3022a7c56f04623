"""Divergence of a vector field: exact, or Hutchinson's estimate with a given probe."""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.diffusion.tensors import sum_features
from vdiff.errors import VdiffError

Field = Callable[[Tensor], Tensor]
PROBES = ("rademacher", "gaussian")


def divergence(
    v: Tensor, y: Tensor, probe: Tensor | None = None, differentiable: bool = False
) -> Tensor:
    """Of a field's values v at y, which requires gradients, (B,); both (B, ...).

    Without a probe exact, at the price of d backward passes; with one, like y and of identity
    covariance, probe^T (dv/dy) probe. differentiable: by y and by what the field depends on.
    """
    if probe is not None:
        (vjp,) = torch.autograd.grad((v * probe).sum(), y, create_graph=differentiable)
        return sum_features(vjp * probe)
    flat = v.flatten(1)
    div = torch.zeros(len(y), dtype=y.dtype, device=y.device)
    for i in range(flat.shape[1]):
        (row,) = torch.autograd.grad(
            flat[:, i].sum(), y, retain_graph=True, create_graph=differentiable
        )
        div = div + row.flatten(1)[:, i]
    return div


def exact_divergence(
    field: Field, y: Tensor, differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """(field(y), its divergence (B,)), at the price of d backward passes; y (B, ...).

    differentiable: both can be differentiated again, by what the field depends on.
    """
    return _with_divergence(field, y, None, differentiable)


def hutchinson(
    field: Field, y: Tensor, probe: Tensor, differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """(field(y), v^T (d field / dy) v (B,)) with probe v, like y, of identity covariance.

    differentiable: both can be differentiated again, by what the field depends on.
    """
    return _with_divergence(field, y, probe, differentiable)


def _with_divergence(
    field: Field, y: Tensor, probe: Tensor | None, differentiable: bool
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        v = field(y)
        div = divergence(v, y, probe, differentiable)
    return (v if differentiable else v.detach()), div


def probe_from_uniform(u: Tensor, kind: str) -> Tensor:
    """A Rademacher or Gaussian probe from uniforms u in (0, 1), of the same shape."""
    if kind == "rademacher":
        return torch.where(u < 0.5, -1.0, 1.0).to(u.dtype)
    if kind == "gaussian":
        return torch.special.ndtri(u.double().clamp(1e-12, 1 - 1e-12)).to(u.dtype)
    raise VdiffError(f"The probe is {kind!r}; it must be one of {', '.join(PROBES)}.")
