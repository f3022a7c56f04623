"""The arithmetic of a network's products: exact, with inputs rounded to TF32, or in bfloat16, which
a processor without its instructions computes fifty times as slowly as float32."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

log = logging.getLogger(__name__)
ENOUGH, LARGEST = 0.005, 8192  # seconds of a product that its rate is known by; or of that size
SLOW = 2.0  # times as long as float32: bfloat16 is not worth it


def gflops(name: str, device: str = "cpu") -> float:
    """The rate of products of matrices in that precision, GFLOP/s: measured, in some milliseconds
    and at least two products. A CPU's is that of a thread's own time, whatever else runs, times
    torch's number of threads."""
    threads = torch.get_num_threads() if device == "cpu" else 1
    clock = time.thread_time if device == "cpu" else time.perf_counter
    n, dtype = 128, torch.bfloat16 if name == "bfloat16" else torch.float32
    with products(name), _one_thread():
        while True:
            x = torch.ones(n, n, dtype=dtype, device=device)
            times: list[float] = []
            while len(times) < 2 or (len(times) < 4 and sum(times) < 4 * ENOUGH):
                start = clock()
                float((x @ x)[0, 0])  # waits for it
                times.append(clock() - start)
            if min(times) > ENOUGH or n == LARGEST:
                return threads * 2e-9 * n**3 / min(times)
            n *= 2


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def usable(name: str, device: str, begun: bool = False) -> str:
    """That precision, or float32 in place of bfloat16 where that is slower on the device, which the
    log says. begun: what was begun in it goes on in it, however slow."""
    if name != "bfloat16":
        return name
    times = gflops("float32", device) / gflops(name, device)
    if times < SLOW:
        return name
    said = f"bfloat16 takes {times:.0f} times as long as float32 on this device"
    if begun:
        log.warning("%s; what was begun in it goes on in it.", said)
        return name
    log.warning("%s; computing in float32.", said)
    return "float32"


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
