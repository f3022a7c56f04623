"""The arithmetic of float32 products on GPUs: exact, or with inputs rounded to TF32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def products(name: str) -> Iterator[None]:
    """Inside the context, let GPUs round the inputs of float32 products to TF32, unless `name` is
    float32. Changes nothing on CPUs.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee" if name == "float32" else "tf32"
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value
