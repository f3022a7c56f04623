"""Networks and SDEs as the code of Song et al. has them (arXiv 2011.13456), continuous time.

```python
model = from_score_sde(net, sde, data=(3, 32, 32), range=(0, 1))
```
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vdiff.adapters.path import from_path
from vdiff.errors import VdiffError
from vdiff.likelihood.model import Model


def from_score_sde(
    net: Callable[..., Tensor], sde: Any, *, data: Sequence[int], eps: float = 1e-5, **keys: Any
) -> Model:
    """The model of a network and the SDE that it was trained with.

    Arguments:
        net: net(x, labels). Of a variance-exploding sde (its mean is x) it returns the score and
            takes the standard deviation as its label; of another it returns minus the standard
            deviation times the score and takes 999 t.
        sde: With T, and marginal_prob(x, t), the mean and standard deviation at t given x.
        data: The shape of an example.
        eps: The least time that the network was trained at.
        **keys: Further arguments of `vdiff.wrap`; `range` is (0, 1) where the network's
            configuration says data.centered = False.

    Raises:
        VdiffError: When marginal_prob does not take examples of as many axes as `data` says: that
            of the package's VPSDE and subVPSDE takes images (C, H, W).
    """

    def path(t: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = sde.marginal_prob(torch.ones(len(t), *[1] * len(data)).to(t), t)
        return mean.reshape(len(t)), std.reshape(len(t))

    end = torch.tensor([float(sde.T)] * 2, dtype=torch.float64)
    try:
        explodes = bool((path(end)[0] == 1).all())
    except (RuntimeError, IndexError):
        raise VdiffError(
            f"The marginal_prob of {type(sde).__name__} does not take examples of shape "
            f"{tuple(data)}, which `data` says they have; that of Song et al.'s takes images "
            "(C, H, W)."
        ) from None

    def labelled(y: Tensor, t: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        return net(y, path(t)[1] if explodes else 999 * t, *condition, **named)

    return from_path(
        labelled,
        path,
        predicts="score" if explodes else "noise",
        ends=(eps, float(sde.T)),
        data=data,
        **keys,
    )
