"""Denoisers of the package k-diffusion, D(x, sigma).

```python
model = from_k_diffusion(denoiser, data=(3, 32, 32), sigma_min=0.01, sigma_max=80)
```
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from vdiff.diffusion.sdes.ve import VESDE
from vdiff.errors import VdiffError
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap


def from_k_diffusion(
    denoiser: Callable[..., Tensor],
    *,
    data: Sequence[int],
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    **keys: Any,
) -> Model:
    """The model of a denoiser of k-diffusion's.

    Arguments:
        denoiser: A Denoiser, or a wrapper of another network, such as OpenAIDenoiser or
            DiscreteVDDPMDenoiser, without quantised times.
        data: The shape of an example.
        sigma_min: The least noise level it was trained on, as in its configuration; wrappers of a
            table know theirs.
        sigma_max: The largest.
        **keys: Further arguments of `vdiff.wrap`.

    Raises:
        VdiffError: When the noise levels are unknown, and for quantised times.
    """
    least = getattr(denoiser, "sigma_min", None) if sigma_min is None else sigma_min
    most = getattr(denoiser, "sigma_max", None) if sigma_max is None else sigma_max
    if least is None or most is None:
        raise VdiffError(
            f"A {type(denoiser).__name__} does not say which noise levels it was trained on; give "
            "sigma_min and sigma_max, as its configuration has them."
        )
    if getattr(denoiser, "quantize", False):
        raise VdiffError("quantize is True: the denoiser rounds noise levels; it must be False.")
    own = {
        "schedule": VESDE(float(most)),
        "predicts": "x0",
        "s_min": float(least),
        "data": tuple(data),
    }
    return wrap(denoiser, **{**own, **keys})
