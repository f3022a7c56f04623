"""The straight path of flow matching (Lipman et al., arXiv 2210.02747) as a forward SDE.

m = 1 - s, sigma = s: f = -y / (1 - s), g^2 = 2 s / (1 - s), log NSR = 2 log(s / (1 - s)). Time 0 is
the data. At s = 1 nothing is left of them and f has no limit, so that T stops just before; the
divergence of Y_T from the prior is in the likelihood.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE


@dataclass(frozen=True)
class FlowSDE(SDE):
    T: float = 0.999

    def log_m(self, s: Tensor) -> Tensor:
        return torch.log1p(-s)

    def rate(self, s: Tensor) -> Tensor:
        return -1 / (1 - s)

    def g2(self, s: Tensor) -> Tensor:
        return 2 * s / (1 - s)

    def var(self, s: Tensor) -> Tensor:
        return s.square()

    def log_nsr(self, s: Tensor) -> Tensor:
        return 2 * (s.log() - torch.log1p(-s))

    def invert_log_nsr(self, value: Tensor) -> Tensor:
        return torch.sigmoid(value / 2)


Schedule = FlowSDE
