"""Noise of each example from a stream of its own, whatever the batch.

A stream's key is the example's content, how many equal ones came before it, and the seed: the
same example has the same noise in every call, alone and among others, and a repeated one has other
noise.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor


def digests(x: Tensor) -> list[bytes]:
    """SHA-256 of the content of each example x (N, ...)."""
    return [hashlib.sha256(row.tobytes()).digest() for row in x.contiguous().numpy()]


def counted(each: Sequence[bytes], seen: Counter[bytes]) -> list[int]:
    """Of each digest how many equal ones came before it, `seen` among them, which is updated."""
    before = []
    for digest in each:
        before.append(seen[digest])
        seen[digest] += 1
    return before


class Streams:
    """Streams of the examples x (N, ...). A row of noise is the next of its example's stream, so
    that rows may be asked for in batches of any size, in the order of their examples. earlier: how
    often examples, by their digests, came before those of x, where x is a part of more."""

    def __init__(
        self, x: Tensor, *keys: int | str, earlier: Mapping[bytes, int] = MappingProxyType({})
    ) -> None:
        each = digests(x)
        self._keys: list[int] = []
        for digest, n in zip(each, counted(each, Counter(earlier)), strict=True):
            text = repr((keys, n)).encode() + digest
            self._keys.append(int.from_bytes(hashlib.sha256(text).digest()[:16], "little"))
        self._open: dict[tuple[int, str], np.random.Generator] = {}

    def normal(self, of: Tensor, shape: Sequence[int], name: str, dtype: torch.dtype) -> Tensor:
        """Standard normal noise (B, *shape); row k is the next of the stream of example of[k],
        which must not decrease with k. Streams of other names are independent."""
        kind = np.float64 if dtype == torch.float64 else np.float32
        return self._rows(of, name, lambda rng, n: rng.standard_normal((n, *shape), dtype=kind))

    def uniform(self, of: Tensor, shape: Sequence[int], name: str) -> Tensor:
        """As `normal`, uniform on [0, 1), float64."""
        return self._rows(of, name, lambda rng, n: rng.random((n, *shape)))

    def same(self, of: Tensor, shape: Sequence[int], name: str, dtype: torch.dtype) -> Tensor:
        """As `normal`, with one row for each example, the first of its stream, in every call."""
        examples, rows = torch.unique_consecutive(of, return_inverse=True)
        for k in examples.tolist():
            self._open.pop((k, name), None)
        return self.normal(examples, shape, name, dtype)[rows]

    def _rows(
        self, of: Tensor, name: str, draw: Callable[[np.random.Generator, int], np.ndarray]
    ) -> Tensor:
        examples, counts = torch.unique_consecutive(of, return_counts=True)
        first = int(examples[0])
        self._open = {at: rng for at, rng in self._open.items() if at[0] >= first}
        parts = []
        for k, n in zip(examples.tolist(), counts.tolist(), strict=True):
            rng = self._open.get((k, name))
            if rng is None:
                tag = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
                rng = np.random.Generator(np.random.Philox(key=self._keys[k] ^ tag))
                self._open[k, name] = rng
            parts.append(draw(rng, n))
        return torch.from_numpy(np.concatenate(parts))
