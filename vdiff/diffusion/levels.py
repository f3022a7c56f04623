"""The drift of dequantised images by Bayes' rule over groups of grey levels.

Dequantisation makes a pixel uniform on the interval of its level, and one level may be that of most
pixels (black, in MNIST). At little noise such a density has edges far finer than a network
resolves, though they are known exactly. So let the levels be grouped into K intervals
[e_k, e_k+1] of the real line. A pixel that is uniform on one of them has at time s the density
and the score

    p_k(y, s) = (Phi(u_k) - Phi(u_k+1)) / (e_k+1 - e_k),   u_k = (y - m e_k) / sigma,
    d/dy log p_k = (phi(u_k) - phi(u_k+1)) / (sigma (Phi(u_k) - Phi(u_k+1))),

with the normal density phi and distribution Phi. The network sees, beside y, each pixel's
posterior of its groups under the histogram pi_k of the training set, and returns a drift r and
log-odds l_k, which turn that posterior into one that knows the other pixels:

    a = r + g sum_k w_k d/dy log p_k,   w_k proportional to pi_k exp(l_k) p_k(y, s).

Every drift is of this form (r does it). A network that returns 0 is exact for independent pixels
of that histogram.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.bits import to_real
from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like
from vdiff.errors import VdiffError

SMALLEST = 1e-12  # time below which sigma is held: sigma(0) = 0


@dataclass(frozen=True)
class Groups:
    """edges (K + 1,) of the groups on the real line, log_weight (K,) = log pi_k; float64."""

    edges: Tensor
    log_weight: Tensor

    @classmethod
    def of(cls, counts: Tensor, k: int, real: bool, device: str = "cpu") -> "Groups":
        """The k groups of neighbouring levels that, each uniform on the real line, are closest to
        the histogram counts (levels,), in Kullback-Leibler divergence.

        Every level counts once more, so that none is impossible. Raises VdiffError when there are
        fewer levels than k.
        """
        levels = len(counts)
        if k > levels:
            raise VdiffError(
                f"network.level_groups is {k}, but the images have {levels} grey levels."
            )
        mass = (counts.double() + 1) / (counts.sum() + levels)
        edges = to_real(torch.linspace(0, 1, levels + 1, dtype=torch.float64)[:, None], real)[0][
            :, 0
        ]
        total = torch.cat([mass.new_zeros(1), mass.cumsum(0)])
        cuts = _closest(total, edges, k)
        return cls(edges[cuts].to(device), total[cuts].diff().log().to(device))

    def given(self, sde: SDE, y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """log(pi_k p_k) and d/dy log p_k of pixels y (B, ...) at s (B,), (B, K, ...) float64."""
        y, s = y.double()[:, None], s.double().clamp(min=SMALLEST)
        m, sigma = expand_like(sde.m(s), y), expand_like(sde.sigma(s), y)
        edges, log_weight, width = (
            v.view(-1, *[1] * (y.ndim - 2))
            for v in (self.edges, self.log_weight, self.edges.diff())
        )
        u = (y - m * edges) / sigma  # falls with k
        right, left = u[:, :-1], u[:, 1:]  # p_k = Phi(right) - Phi(left)
        # In the upper tail both Phi are 1; there the equal Phi(-left) - Phi(-right) is accurate.
        mirrored = right + left > 0
        high, low = torch.where(mirrored, -left, right), torch.where(mirrored, -right, left)
        log_high, log_low = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
        log_p = log_high + torch.log(-torch.expm1(log_low - log_high))
        normal = 0.5 * math.log(2 * math.pi) + log_p
        slope = (-high.square() / 2 - normal).exp() - (-low.square() / 2 - normal).exp()
        score = torch.where(mirrored, -slope, slope) / sigma
        return log_p - torch.log(width) + log_weight, score


def level_drift(network: Drift, sde: SDE, groups: Groups) -> Drift:
    """The drift a of a network that takes y and the posterior and returns r and l, both
    (B, C (1 + K), H, W)."""

    def a(y: Tensor, s: Tensor) -> Tensor:
        log_p, score = groups.given(sde, y, s)
        posterior = log_p.softmax(1).flatten(1, 2).to(y.dtype)
        out = network(torch.cat([y, posterior], 1), s)
        log_odds = out[:, y.shape[1] :].reshape(log_p.shape)
        weight = (log_p + log_odds).softmax(1)
        by_levels = expand_like(sde.g(s.double()), y) * (weight * score).sum(1)
        return out[:, : y.shape[1]] + by_levels.to(out.dtype)

    return a


def _closest(total: Tensor, edges: Tensor, k: int) -> Tensor:
    """Where to cut, (k + 1,), by dynamic programming over the last group of each.

    A group from i to j of mass P costs -P log(P / (e_j - e_i)), the part of the divergence that
    depends on the cuts.
    """
    n = len(total) - 1  # total: the mass below each edge
    P, width = total[None] - total[:, None], edges[None] - edges[:, None]
    later = torch.ones(n + 1, n + 1, dtype=torch.bool).triu(1)
    cost = torch.where(later, -P * torch.log(P / width), torch.inf)
    best, previous = cost[0], []
    for _ in range(k - 1):
        best, at = (best[:, None] + cost).min(0)
        previous.append(at)
    cuts = [n]
    for at in reversed(previous):
        cuts.append(int(at[cuts[-1]]))
    return torch.tensor([0, *reversed(cuts)])
