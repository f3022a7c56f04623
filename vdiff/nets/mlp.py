"""The Swissroll network: (y, s) -> hidden layers with swish -> R^d, s fed raw."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """A multilayer perceptron on the concatenation of y (B, d) and s (B,), to (B, fields d).

    rng draws the initial weights, by the default law of torch's Linear.
    """

    def __init__(
        self,
        d: int,
        rng: torch.Generator,
        hidden: tuple[int, ...] = (128, 128, 128),
        fields: int = 1,
    ) -> None:
        super().__init__()
        widths = [d + 1, *hidden, fields * d]
        layers = [nn.utils.skip_init(nn.Linear, i, o) for i, o in pairwise(widths)]
        self.layers = nn.ModuleList(layers)
        for layer in layers:
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=rng)
            nn.init.uniform_(layer.bias, -bound, bound, generator=rng)

    def forward(self, y: Tensor, s: Tensor) -> Tensor:
        h = torch.cat([y, s[:, None]], 1)  # (B, d + 1)
        for layer in self.layers[:-1]:
            h = nn.functional.silu(layer(h))
        return self.layers[-1](h)

    @property
    def outputs(self) -> list[nn.Module]:
        """The layers that make the output."""
        return [self.layers[-1]]
