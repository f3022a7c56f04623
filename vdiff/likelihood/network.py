"""What networks are like: their device and mode, and whether they say the same twice."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.errors import VdiffError

Network = Callable[..., Tensor]

RANDOM = 1e-3  # of its size, by which a network's output may differ between two calls
BATCH = 0.03  # and from one batch to another


def modules_of(net: Any) -> list[nn.Module]:
    """The torch modules that a callable is, or that it closes over."""
    if isinstance(net, nn.Module):
        return [net]
    inner = inspect.unwrap(getattr(net, "func", net))  # of a functools.partial
    found = [getattr(inner, "__self__", None)]
    try:
        seen = inspect.getclosurevars(inner)
        found += [*seen.nonlocals.values(), *seen.globals.values()]
    except TypeError:  # not a function of Python
        pass
    return [m for m in found if isinstance(m, nn.Module)]


@contextmanager
def evaluating(modules: list[nn.Module]) -> Iterator[None]:
    """Inside, the modules are in eval mode; afterwards each part is in the mode it was in."""
    parts = [part for m in modules for part in m.modules() if part.training]
    for part in parts:
        part.training = False
    try:
        yield
    finally:
        for part in parts:
            part.training = True


def asked(net: Network, device: str) -> Network:
    """net(y, time, ...) as everything here asks it: in eval mode, on its device, in float32; the
    output is like y."""
    modules = modules_of(net)
    if any(m.training for m in modules):
        warnings.warn(
            "The network is in train mode; vdiff asks it in eval mode and leaves it as it was.",
            stacklevel=3,
        )

    def network(y: Tensor, t: Tensor, *condition: Tensor) -> Tensor:
        given = (v.to(device) for v in (y.float(), t.float(), *condition))
        with evaluating(modules):
            return net(*given).to(y)

    return network


def noise_at_unit(
    sde: SDE, n: int, shape: tuple[int, ...], rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(y, s): n vectors of noise alone, where it has the variance of a signal of 1."""
    s = sde.invert_log_nsr(torch.zeros(n, dtype=torch.float64))
    return float(sde.sigma(s[0])) * torch.randn(n, *shape, generator=rng), s


@torch.no_grad()
def check_repeats(of_rows: Callable[[int], Drift], sde: SDE, shape: tuple[int, ...]) -> None:
    """Raise VdiffError unless a drift gives the same at the same y and s, alone or in a batch;
    of_rows(n): the drift for n rows under one condition."""
    y, s = noise_at_unit(sde, 3, shape, torch.Generator().manual_seed(0))
    first, second = (of_rows(3)(y, s) for _ in "12")
    size = float(first.square().mean().sqrt())
    off = float((first - second).square().mean().sqrt())
    if off > RANDOM * size:
        raise VdiffError(
            f"The network's output is random: two calls differ by {off / size:.2g} of its size. "
            "Put it in eval mode (net.eval() switches dropout off) or take the noise out of it."
        )
    alone = of_rows(1)(y[:1], s[:1])
    off = float((first[:1] - alone).square().mean().sqrt())
    if off > BATCH * size:
        raise VdiffError(
            f"The network's output for an example depends on the others of its batch, by "
            f"{off / size:.2g} of its size; put it in eval mode (net.eval() holds batch norms)."
        )
