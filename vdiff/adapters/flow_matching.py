"""Velocities of the package flow_matching, and of others whose path is the straight one.

```python
model = from_flow_matching(net, scheduler, data=(2,))
model = from_velocity(net, data=(2,))  # torchcfm's, and flow_matching's CondOTScheduler
```
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from vdiff.adapters.path import from_path
from vdiff.diffusion.tensors import expand_like
from vdiff.errors import VdiffError
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap

NEAREST = 1e-3  # to the ends of time: there a velocity says nothing about the noise, or the data


def from_velocity(
    net: Callable[..., Tensor], *, data: Sequence[int], sigma: float = 0.0, **keys: Any
) -> Model:
    """The model of a velocity on the straight path, y = (1 - t) noise + t x + sigma more noise.

    flow_matching's CondOTProbPath (sigma = 0) and torchcfm's ConditionalFlowMatcher have it. Noise
    and data must have been paired independently: under an optimal-transport coupling the noise in y
    is not Gaussian given x, and a velocity says nothing about the score.

    Arguments:
        net: net(y, t) for y (B, *data) and t (B,), the data at t = 1.
        data: The shape of an example.
        sigma: At least 0. At t = 1 there is still noise of sigma on the data, so the density is
            that of data plus N(0, sigma^2), as for the samples that the velocity leads to.
        **keys: Further arguments of `vdiff.wrap`.

    Raises:
        VdiffError: For a negative sigma.
    """
    if not sigma >= 0:
        raise VdiffError(f"sigma is {sigma}; it must be 0 or more.")

    def backwards(y: Tensor, s: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        return -net(y, 1 - s, *condition, **named)

    def path(t: Tensor) -> tuple[Tensor, Tensor]:
        """Of the data at t = 1, their noise included: t^2 sigma^2 of the variance is theirs."""
        return t, ((1 - t) ** 2 + sigma**2 * (1 - t**2)).sqrt()

    def score(y: Tensor, t: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        """From velocity = x - (1 - t) (y - t x) / var, the mean of x less noise given y."""
        t_, velocity = expand_like(t, y), net(y, t, *condition, **named)
        var = (1 - t_) ** 2 + sigma**2
        x = (var * velocity + (1 - t_) * y) / (var + t_ * (1 - t_))
        return (t_ * x - y) / var

    if sigma:
        ends = (1 - NEAREST, NEAREST)
        return from_path(score, path, predicts="score", ends=ends, data=data, **keys)
    more = {"schedule": "flow", "predicts": "velocity", "data": tuple(data)}
    return wrap(backwards, **{**more, **keys})


def from_flow_matching(
    net: Callable[..., Tensor], scheduler: Any, *, data: Sequence[int], **keys: Any
) -> Model:
    """The model of a velocity of an AffineProbPath, noise and data paired independently.

    Arguments:
        net: net(y, t) for y (B, *data) and t (B,), the data at t = 1.
        scheduler: Any scheduler of flow_matching's.
        data: The shape of an example.
        **keys: Further arguments of `vdiff.wrap`.
    """

    def at(t: Tensor) -> Any:
        return scheduler(t)

    def noise(y: Tensor, t: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        """From velocity = alpha' x + sigma' eps and y = alpha x + sigma eps."""
        schedule = at(t)
        alpha, sigma, d_alpha, d_sigma = (
            expand_like(v.to(y.dtype), y)
            for v in (schedule.alpha_t, schedule.sigma_t, schedule.d_alpha_t, schedule.d_sigma_t)
        )
        velocity = net(y, t, *condition, **named)
        return (alpha * velocity - d_alpha * y) / (alpha * d_sigma - d_alpha * sigma)

    return from_path(
        noise,
        lambda t: (at(t).alpha_t, at(t).sigma_t),
        predicts="noise",
        ends=(1 - NEAREST, NEAREST),
        data=data,
        **keys,
    )
