"""The arithmetic of a network's convolutions and products: float32, TF32 or bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vdiff.reverse import Drift


@contextmanager
def products(name: str) -> Iterator[None]:
    """Within, GPUs that can round the inputs of float32 products to TF32, unless name is float32.

    Changes nothing on CPUs.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee" if name == "float32" else "tf32"
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value


def in_precision(a: Drift, name: str) -> Drift:
    """a under PyTorch's autocast when name is bfloat16; weights and output stay float32."""
    if name != "bfloat16":
        return a

    def cast(y: Tensor, s: Tensor) -> Tensor:
        with torch.autocast(y.device.type, torch.bfloat16):
            return a(y, s).to(y.dtype)

    return cast
