"""A time distribution fitted to the size of the training gradients, and refitted as training goes.

With times from q and weight g^2 / (sigma^2 q), the mean gradient is the ELBO's for every q; its
variance is least for q proportional to g^2 / sigma^2 sqrt(E ||grad loss||^2). The gradient with
respect to the network's output a, of norm (sigma / g) ||sigma a / g + eps||, costs nothing and
stands in for the whole one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.diffusion.times import Debiased, Histogram, floored, slice_of

SLICES = 32


@dataclass
class Fitted:
    """law: the last fit; squares, counts: (SLICES,) float64, of draws since then."""

    base: Debiased
    law: Histogram
    squares: Tensor
    counts: Tensor

    @classmethod
    def fresh(cls, sde: SDE, eps_t: float, device: str = "cpu") -> "Fitted":
        """The base law itself, with nothing seen yet."""
        base = Debiased.to_the_end(sde, eps_t)
        squares, counts = torch.zeros(2, SLICES, dtype=torch.float64, device=device)
        return cls(base, Histogram(base, torch.ones_like(squares)), squares, counts)

    @property
    def weights(self) -> Tensor:
        """Of the law, (SLICES,)."""
        return self.law.weights

    def dump(self) -> dict[str, Tensor]:
        return {"weights": self.weights, "squares": self.squares, "counts": self.counts}

    def restore(self, saved: dict[str, Tensor]) -> None:
        weights, self.squares, self.counts = (
            saved[name].to(self.weights) for name in ("weights", "squares", "counts")
        )
        self.law = Histogram(self.base, weights)

    def see(
        self, s: Tensor, losses: Tensor, total: Callable[[Tensor], Tensor] = lambda v: v
    ) -> None:
        """Count draws with their DSM losses, (B,) each; total adds up over all processes."""
        sde, k = self.base.sde, slice_of(self.base, s, SLICES)
        # The weight relative to the base law times the norm at the output, squared.
        size = sde.weight(s) / self.base.unnormalized(s) * sde.sigma(s) / sde.g(s)
        new = torch.zeros(2, SLICES, dtype=torch.float64, device=s.device)
        new[0].index_add_(0, k, size.square() * 2 * losses.double())
        new[1].index_add_(0, k, torch.ones_like(size))
        new = total(new)
        self.squares, self.counts = self.squares + new[0], self.counts + new[1]

    def refit(self) -> None:
        """Follow the draws since the last fit; a slice without any keeps its weight."""
        seen = self.counts > 0
        root = (self.squares / self.counts.clamp(min=1)).sqrt()
        root = root / torch.where(seen, root, 0).sum() * seen.sum()
        fit = torch.where(seen, floored(root), self.weights)
        self.law = Histogram(self.base, fit / fit.mean())
        self.squares, self.counts = torch.zeros_like(fit), torch.zeros_like(fit)
