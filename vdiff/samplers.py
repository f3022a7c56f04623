"""Integrators of the lambda family: pure functions of an injected noise source.

State is float64 around a float32 network. `noise(x)` returns standard normal noise like x and
decides the randomness alone; `callback(i, x)` sees the state after step i = 1..N.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vdiff.errors import VdiffError
from vdiff.reverse import Drift, Reverse
from vdiff.sde import VPSDE
from vdiff.seeds import generator

Noise = Callable[[Tensor], Tensor]
Callback = Callable[[int, Tensor], None]


def noise_of(rng: torch.Generator) -> Noise:
    """One stream for the whole batch."""
    return lambda x: torch.randn(x.shape, generator=rng, device=rng.device).to(x)


def noise_per_sample(index: Sequence[int], *keys: int | str) -> Noise:
    """One stream per sample: sample k does not change with batch size or device count."""
    streams = [generator(*keys, int(i)) for i in index]
    return lambda x: torch.stack([torch.randn(x.shape[1:], generator=rng) for rng in streams]).to(x)


def uniform_grid(sde: VPSDE, steps: int) -> Tensor:
    """Forward times from T down to 0, (steps + 1,), evenly spaced."""
    check_steps(steps)
    return torch.linspace(sde.T, 0, steps + 1, dtype=torch.float64)


def check_steps(steps: int) -> None:
    if steps < 1:
        raise VdiffError(f"steps is {steps}; it must be at least 1.")


def in_float64(a: Drift) -> Drift:
    """The float32 drift a as seen from a float64 integrator."""
    return lambda x, s: a(x.float(), s.float()).double()


@torch.no_grad()
def euler_maruyama(
    reverse: Reverse, x: Tensor, times: Tensor, noise: Noise, callback: Callback | None = None
) -> Tensor:
    """x (B, ...) from forward time times[0] to times[-1] by Euler-Maruyama, noise on every step."""
    x = x.double()
    for i in range(len(times) - 1):
        s = times[i].expand(len(x)).to(x.device)
        dt = float(times[i] - times[i + 1])
        x = x + dt * reverse.mu(x, s)
        if reverse.lmbd < 1:
            x = x + dt**0.5 * float(reverse.sigma(times[i])) * noise(x)
        check_finite(x, i + 1)
        if callback:
            callback(i + 1, x)
    return x


def check_finite(x: Tensor, step: int) -> None:
    if not torch.isfinite(x).all():
        raise VdiffError(f"The state is not finite after step {step}; take more steps.")
