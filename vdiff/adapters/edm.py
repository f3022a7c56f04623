"""Networks as EDM's code has them: D(x, sigma) or D(x, sigma, labels), the denoised x.

```python
model = from_edm(net)
```
"""

import math
from typing import Any

from vdiff.diffusion.sdes.ve import VESDE
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap


def from_edm(net: Any, **keys: Any) -> Model:
    """The model of a preconditioned network of EDM's code (arXiv 2206.00364).

    Arguments:
        net: EDMPrecond, VPPrecond and so on, with img_channels and img_resolution. Noise levels go
            from its sigma_min, or 0.002 if that is larger, to its sigma_max, or 80 if that is
            smaller. A network for classes takes them as its condition, one-hot.
        **keys: Further arguments of `vdiff.wrap`; `s_min` and `schedule` set other noise levels.
    """
    least = max(float(getattr(net, "sigma_min", 0)), 0.002)
    most = float(getattr(net, "sigma_max", math.inf))
    size = net.img_resolution
    own = {
        "schedule": VESDE(min(most, 80.0)),
        "predicts": "x0",
        "s_min": least,
        "data": (net.img_channels, size, size),
    }
    return wrap(net, **{**own, **keys})
