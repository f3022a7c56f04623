"""Models of the package denoising-diffusion-pytorch (pip install vdiff[models]).

```python
model = from_denoising_diffusion(diffusion)  # a GaussianDiffusion, or an EMA of one
```
"""

from typing import Any

import torch

from vdiff.diffusion.sdes.table import TableSDE
from vdiff.errors import VdiffError
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap

PREDICTS = {"pred_noise": "noise", "pred_x0": "x0", "pred_v": "v"}


def from_denoising_diffusion(diffusion: Any, **keys: Any) -> Model:
    """The model of a GaussianDiffusion.

    Arguments:
        diffusion: A GaussianDiffusion for images, also one of a learned variance (which
            `Model.chain` uses), or an ema_pytorch.EMA of one, whose averaged weights are taken.
            Images are grey levels, which it maps to [-1, 1] unless its auto_normalize is off.
        **keys: Further arguments of `vdiff.wrap`.

    Raises:
        VdiffError: For the package's other kinds, for self_condition, where the network sees more
            than y and t, and for immiscible.
    """
    diffusion = getattr(diffusion, "ema_model", diffusion)
    kind = type(diffusion).__name__
    if getattr(diffusion, "objective", None) not in PREDICTS or not hasattr(
        diffusion, "image_size"
    ):
        raise VdiffError(
            f"The model is a {kind}; it must be a GaussianDiffusion for images, whose objective is "
            f"one of {', '.join(PREDICTS)}, or an EMA of one."
        )
    net = diffusion.model
    if diffusion.self_condition:
        raise VdiffError(
            "self_condition is True: the network also sees its own last estimate, so that it is no "
            "function of y and t; it must be False."
        )
    if diffusion.immiscible:
        raise VdiffError(
            "immiscible is True: noise was matched to the images in training, and what the network "
            "learned determines no score; it must be False."
        )
    ends = diffusion.normalize(torch.tensor([0.0, 1.0])).tolist()
    own = {
        "schedule": TableSDE(tuple(diffusion.alphas_cumprod.double().tolist())),
        # With a learned variance its loss takes the output for the noise, whatever its objective.
        "predicts": PREDICTS[diffusion.objective] if net.out_dim == net.channels else "noise",
        "data": (diffusion.channels, *diffusion.image_size),
        "range": tuple(ends),
        "device": str(diffusion.device),
    }
    return wrap(net, **{**own, **keys})
