"""The drift a(y, s) = g * score and what wraps it.

Every wrapper takes a drift and returns one: y (B, ...), s (B,) to (B, ...).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vdiff.errors import VdiffError

Drift = Callable[[Tensor, Tensor], Tensor]
"""a(y, s): y (B, ...), s (B,) to (B, ...)."""

UNUSABLE = "The network's output is not finite; its weights are unusable."


def autocast(device: str, name: str) -> torch.autocast:
    """PyTorch's autocast on that kind of device, which does nothing unless name is bfloat16."""
    return torch.autocast(device, torch.bfloat16, enabled=name == "bfloat16")


def in_precision(a: Drift, name: str) -> Drift:
    """a under `autocast` when name is bfloat16; weights and output stay float32."""
    if name != "bfloat16":
        return a

    def cast(y: Tensor, s: Tensor) -> Tensor:
        with autocast(y.device.type, name):
            return a(y, s).to(y.dtype)

    return cast


def in_float64(a: Drift) -> Drift:
    """The float32 drift a as seen from a float64 integrator."""
    return lambda x, s: a(x.float(), s.float()).double()


def on_device(a: Drift, device: str) -> Drift:
    """The drift a on `device`, which takes inputs of any and returns results on their device."""
    return lambda y, s: a(y.to(device), s.to(device)).to(y.device)


def checked(a: Drift) -> Drift:
    """a, which raises VdiffError when its output is not finite."""

    def finite(y: Tensor, s: Tensor) -> Tensor:
        out = a(y, s)
        if not torch.isfinite(out).all():
            raise VdiffError(UNUSABLE)
        return out

    return finite


def mirrored(a: Drift) -> Drift:
    """The mean of the drift a of images (B, C, H, W) and of what it is on their mirror images,
    mirrored back. Where mirror images are as likely as images, its mean squared error, and so the
    bound's, is at most that of a, by Jensen's inequality."""
    return lambda y, s: (a(y, s) + a(y.flip(-1), s).flip(-1)) / 2


def in_chunks(a: Drift, size: int) -> Drift:
    """a without gradients, `size` examples at a time, to bound memory."""

    @torch.no_grad()
    def chunked(y: Tensor, s: Tensor) -> Tensor:
        pairs = zip(y.split(size), s.split(size), strict=True)
        return torch.cat([a(p, q) for p, q in pairs])

    return chunked
