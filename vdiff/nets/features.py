"""Features of images for judging samples, without downloaded networks.

A small convolutional net learns, on the training images, which way up an image was turned (Gidaris
et al., arXiv 1803.07728): it asks for no labels, and its last hidden layer is the feature. The
same net before training gives random-convolution features.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

WIDTH = 64
"""Features per image."""


class Turned(nn.Module):
    """(B, C, H, W) in [-1, 1] to logits of the four quarter turns."""

    def __init__(self, channels: int, rng: torch.Generator) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, WIDTH, 3, padding=1, stride=2),
            nn.ReLU(),
        )
        self.head = nn.Linear(WIDTH, 4)
        for p in self.parameters():
            fan = p[0].numel() if p.ndim > 1 else 1
            nn.init.normal_(p, 0, (2 / fan) ** 0.5 if p.ndim > 1 else 0.0, generator=rng)

    def features(self, x: Tensor) -> Tensor:
        """(B, WIDTH): means over the image."""
        return self.body(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def scaled(k: Tensor, levels: int) -> Tensor:
    """Grey levels as float32 in [-1, 1]."""
    return k.float() * (2 / (levels - 1)) - 1


def trained(
    images: Tensor, levels: int, steps: int, batch_size: int, rng: torch.Generator
) -> Turned:
    """A net that has learned the turns of images (N, C, H, W) uint8, by Adam."""
    net = Turned(images.shape[1], rng)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(steps):
        x = scaled(images[torch.randint(len(images), (batch_size,), generator=rng)], levels)
        k = torch.randint(4, (len(x),), generator=rng)
        turned = torch.stack([torch.rot90(v, int(n), (1, 2)) for v, n in zip(x, k, strict=True)])
        optimiser.zero_grad()
        cross_entropy(net(turned), k).backward()
        optimiser.step()
    return net.eval().requires_grad_(False)


def features(net: Turned, images: Tensor, levels: int) -> Tensor:
    """(N, WIDTH) of images (N, C, H, W) uint8."""
    return torch.cat([net.features(scaled(x, levels)) for x in images.split(256)])
