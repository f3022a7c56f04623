"""Sources of the samplers' noise."""

from collections.abc import Sequence

import torch

from vdiff.samplers.state import Noise
from vdiff.seeds import generator


def noise_of(rng: torch.Generator) -> Noise:
    """One stream for the whole batch."""
    return lambda x: torch.randn(x.shape, generator=rng, device=rng.device).to(x)


def noise_per_sample(index: Sequence[int], *keys: int | str) -> Noise:
    """One stream per sample: sample k does not change with batch size or device count."""
    streams = [generator(*keys, int(i)) for i in index]
    return lambda x: torch.stack([torch.randn(x.shape[1:], generator=rng) for rng in streams]).to(x)
