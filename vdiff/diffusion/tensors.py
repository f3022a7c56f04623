"""The only two broadcasting helpers: per-example scalars against per-example arrays."""

from torch import Tensor


def expand_like(v: Tensor, x: Tensor) -> Tensor:
    """View v, (B,), as (B, 1, ..., 1) with as many dimensions as x, (B, ...)."""
    return v.reshape(-1, *[1] * (x.ndim - 1))


def sum_features(x: Tensor) -> Tensor:
    """Sum x, (B, ...), over everything but the batch: (B,)."""
    return x.flatten(1).sum(1)
