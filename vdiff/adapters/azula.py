"""Denoisers of the package azula (pip install vdiff[models]), which loads many known models.

```python
model = from_azula(denoiser, data=(3, 64, 64))
```
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vdiff.adapters.path import from_path
from vdiff.likelihood.model import Model
from vdiff.likelihood.network import evaluating


def from_azula(denoiser: Any, *, data: Sequence[int], **keys: Any) -> Model:
    """The model of a denoiser(x_t, t) whose posterior has a mean, with any schedule of azula's.

    One that takes a single time for all rows, as azula's GaussianDenoiser does, is asked row by
    row.

    Arguments:
        denoiser: With its `schedule`, t to (alpha, sigma). Its conditions are a dict, as azula's
            denoisers take arguments by name.
        data: The shape of an example.
        **keys: Further arguments of `vdiff.wrap`.
    """

    def mean(y: Tensor, t: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        return denoiser(y, t, *condition, **named).mean

    def each(y: Tensor, t: Tensor, /) -> Tensor:
        return torch.vmap(mean)(y, t)

    batched = _takes_times(denoiser, tuple(data), keys.get("device", "cpu"))
    return from_path(
        mean if batched else each,
        denoiser.schedule,
        predicts="x0",
        ends=(0.0, 1.0),
        data=data,
        **keys,
    )


@torch.no_grad()
def _takes_times(denoiser: Any, shape: tuple[int, ...], device: str) -> bool:
    """Whether a time for each of three rows gives what each row gives by itself. It is not enough
    that it runs: three times also broadcast along data whose last axis has three entries. A
    denoiser that cannot be asked without conditions is a network, which takes them."""
    t = torch.tensor([0.25, 0.5, 0.75], device=device)
    y = t.reshape(-1, *[1] * len(shape)).expand(3, *shape)
    with evaluating([denoiser]):
        try:
            together = denoiser(y, t).mean
        except TypeError:
            return True
        except RuntimeError:
            return False
        alone = torch.cat([denoiser(y[k : k + 1], t[k : k + 1]).mean for k in range(3)])
    return together.shape == alone.shape and torch.allclose(together, alone, rtol=1e-2, atol=1e-4)
