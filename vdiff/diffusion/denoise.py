"""The lambda family seen from the denoised example, where its stiff part is linear.

With f = rate y, w = g^2 / sigma^2, xhat = E[x | Y_s = y] = (y + sigma^2 a / g) / m and
k = 1 - lmbd / 2 the reverse SDE reads

    dX = -(rate + k w) X dt + k w m xhat dt + sqrt(1 - lmbd) g dB.

In l = log(sigma^2 / m^2) = log NSR, of which g^2 / sigma^2 is the derivative, a step from l to
l' = l - H with xhat held is exact:

    X' = m' xhat + c (X - m xhat) + sqrt(sigma'^2 - c^2 sigma^2) z,   c = (m' / m) exp(-k H);

lmbd = 1 is DDIM (arXiv 2010.02502), lmbd = 0 the posterior of DDPM (arXiv 2006.11239). A slope
dxhat / d(-l) adds m' (H - (1 - exp(-k H)) / k) times itself (cf. arXiv 2211.01095).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.reverse import Reverse


def xhat(reverse: Reverse, x: Tensor, s: Tensor) -> Tensor:
    """E[x | Y_s] according to the drift, x (B, ...), s (B,); one network evaluation."""
    sde = reverse.sde
    m, weight = sde.m(s[0]), sde.var(s[0]) / sde.g(s[0])
    return (x + weight * reverse.a(x, s)) / m


@dataclass(frozen=True)
class Step:
    """The coefficients of one step from times s to s', as floats."""

    m: float
    m_next: float
    c: float
    sd: float
    H: float
    slope: float

    @classmethod
    def between(cls, reverse: Reverse, s: Tensor, s_next: Tensor) -> "Step":
        sde, k = reverse.sde, 1 - reverse.lmbd / 2
        s, s_next = s.double(), s_next.double()
        m, m_next = sde.m(s), sde.m(s_next)
        H = sde.log_nsr(s) - sde.log_nsr(s_next)
        c = m_next / m * torch.exp(-k * H)
        # sigma'^2 - c^2 sigma^2 = sigma'^2 (1 - exp(-(2 k - 1) H)) and 2 k - 1 = 1 - lmbd.
        rate = 1 - reverse.lmbd
        variance = sde.var(s_next) * -torch.expm1(-rate * H) if rate else torch.zeros(())
        slope = m_next * (H + torch.expm1(-k * H) / k) if torch.isfinite(H) else torch.zeros(())
        return cls(*(float(v) for v in (m, m_next, c, variance.sqrt(), H, slope)))

    def move(self, x: Tensor, x0: Tensor, z: Tensor | None) -> Tensor:
        """The step with xhat held at x0; z None means no noise."""
        x = self.m_next * x0 + self.c * (x - self.m * x0)
        return x if z is None else x + self.sd * z
