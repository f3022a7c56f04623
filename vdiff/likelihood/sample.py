"""New examples: one solver on one grid, each sample with noise of its own."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift, in_float64
from vdiff.diffusion.grids import grid_of
from vdiff.diffusion.reverse import Reverse
from vdiff.diffusion.samplers import sampler_of
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.stepping import Callback, Noise
from vdiff.machine.seeds import normal_per_example, normal_streams


class How(Protocol):
    """sampler, grid: by name; steps; lmbd: the member of the family, at most 1."""

    @property
    def sampler(self) -> str: ...
    @property
    def grid(self) -> str: ...
    @property
    def steps(self) -> int: ...


def integrate(
    reverse: Reverse, x: Tensor, how: How, noise: Noise, callback: Callback | None = None
) -> Tensor:
    """x (B, ...) from T to 0."""
    times = grid_of(how.grid, reverse.sde, how.steps)
    return sampler_of(how.sampler)(reverse, x, times, noise, callback)


def sample(
    sde: SDE,
    a: Drift,
    shape: Sequence[int],
    index: range,
    how: How,
    lmbd: float,
    seed: int,
    device: str = "cpu",
    callback: Callback | None = None,
) -> Tensor:
    """Vectors (B, *shape) float64 of the samples in `index`: sample k depends on k and the seed
    alone, not on the others or on the batch."""
    start = normal_per_example(index, shape, "sample", seed, "start").to(device)
    steps = normal_streams(index, "sample", seed, "steps")
    with torch.no_grad():
        reverse = Reverse(sde, in_float64(a), lmbd)
        return integrate(reverse, sde.prior_sd * start, how, steps, callback)
