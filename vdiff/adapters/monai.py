"""Networks and schedulers of the package MONAI (pip install vdiff[models]).

```python
model = from_monai(unet, scheduler, data=(1, 64, 64), range=(0, 1))
```
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from vdiff.diffusion.sdes.table import TableSDE
from vdiff.errors import VdiffError
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap

PREDICTS = {"epsilon": "noise", "sample": "x0", "v_prediction": "v"}


def from_monai(
    unet: Callable[..., Tensor], scheduler: Any, *, data: Sequence[int], **keys: Any
) -> Model:
    """The model of a network and the scheduler that it was trained with.

    Arguments:
        unet: A DiffusionModelUNet, in two or three dimensions. A network for classes takes them as
            its condition, another its context, and either a dict of their arguments.
        scheduler: A DDPMScheduler, or another of the same table.
        data: The shape of an example.
        **keys: Further arguments of `vdiff.wrap`; `range` is (0, 1) where images were in [0, 1] in
            training, as in MONAI's tutorials.

    Raises:
        VdiffError: For schedulers of other kinds.
    """
    predicts = PREDICTS.get(str(getattr(scheduler, "prediction_type", None)))
    if predicts is None or not hasattr(scheduler, "alphas_cumprod"):
        raise VdiffError(
            f"The scheduler is a {type(scheduler).__name__}; it must have the table alphas_cumprod "
            f"and a prediction_type of {', '.join(PREDICTS)}, as DDPMScheduler has."
        )
    name = "context" if getattr(unet, "num_class_embeds", None) is None else "class_labels"

    def net(y: Tensor, t: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        return unet(y, t, **dict(zip((name,), condition, strict=False)), **named)

    sde = TableSDE(tuple(scheduler.alphas_cumprod.double().tolist()))
    return wrap(net, **{"schedule": sde, "predicts": predicts, "data": tuple(data), **keys})
