"""Features of images for judging samples, without downloaded networks.

A small convolutional net learns, on the training images, their classes where they have labels,
and otherwise which way up an image was turned (Gidaris et al., arXiv 1803.07728). Its last hidden
layer is the feature. The same net before training gives random-convolution features.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

WIDTH = 64
"""Features per image."""

TURNS = 4

Batch = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""(batch size, generator) to images (B, C, H, W) in [-1, 1] and what to tell of each, (B,)."""


class Classifier(nn.Module):
    """(B, C, H, W) in [-1, 1] to logits (B, classes)."""

    def __init__(self, channels: int, classes: int, rng: torch.Generator) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, WIDTH, 3, padding=1, stride=2),
            nn.ReLU(),
        )
        self.head = nn.Linear(WIDTH, classes)
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


def labelled(images: Tensor, labels: Tensor, levels: int) -> Batch:
    """Batches of images (N, C, H, W) uint8 with their classes (N,)."""

    def sample(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        i = torch.randint(len(images), (n,), generator=rng)
        return scaled(images[i], levels), labels[i]

    return sample


def turned(images: Tensor, levels: int) -> Batch:
    """Batches of images (N, C, H, W) uint8 with the quarter turns by which they were turned."""

    def sample(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        x = scaled(images[torch.randint(len(images), (n,), generator=rng)], levels)
        k = torch.randint(TURNS, (n,), generator=rng)
        return torch.stack(
            [torch.rot90(v, int(turn), (1, 2)) for v, turn in zip(x, k, strict=True)]
        ), k

    return sample


def learn(net: Classifier, batch: Batch, steps: int, rng: torch.Generator) -> Classifier:
    """The net after so many steps of Adam on batches of 64."""
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(steps):
        x, told = batch(64, rng)
        optimiser.zero_grad()
        cross_entropy(net(x), told).backward()
        optimiser.step()
    return net.eval().requires_grad_(False)


def features(net: Classifier, images: Tensor, levels: int) -> Tensor:
    """(N, WIDTH) of images (N, C, H, W) uint8."""
    return torch.cat([net.features(scaled(x, levels)) for x in images.split(256)])
