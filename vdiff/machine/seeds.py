"""Randomness as a function of names: the same keys give the same stream on every run.

A training step or a test image owns a stream of its own, so a resumed run needs no saved
random state and a result does not depend on how examples are batched.
"""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def generator(*keys: int | str, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator seeded by the SHA-256 of its keys, for example ("train", seed, iteration)."""
    digest = hashlib.sha256(repr(keys).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def normal_per_example(index: Sequence[int], shape: Sequence[int], *keys: int | str) -> Tensor:
    """Standard normal noise (len(index), *shape); row k depends only on index[k] and the keys."""
    return torch.stack(
        [torch.randn(tuple(shape), generator=generator(*keys, int(i))) for i in index]
    )


def uniform_per_example(index: Sequence[int], shape: Sequence[int], *keys: int | str) -> Tensor:
    """Uniform [0, 1) noise (len(index), *shape); row k depends only on index[k] and the keys."""
    return torch.stack(
        [torch.rand(tuple(shape), generator=generator(*keys, int(i))) for i in index]
    )


def normal_streams(index: Sequence[int], *keys: int | str) -> Callable[[Tensor], Tensor]:
    """A source of normal noise for a sampler with one stream per sample.

    Row k of each call depends only on index[k], the keys and how often it was called before, so
    that sample k does not change with the batch size or the number of devices.
    """
    streams = [generator(*keys, int(i)) for i in index]
    return lambda x: torch.stack([torch.randn(x.shape[1:], generator=rng) for rng in streams]).to(x)
