"""Writing what a device holds while it goes on computing."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only


class Writer:
    """Hands copies of tensors to functions that write them: on a thread of its own for a device
    that has its own memory, at once for the CPU.

    One at a time: the next waits for the last, and raises what that raised.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.pool = ThreadPoolExecutor(1)
        self.last: Future | None = None

    def write(self, content: Any, function: Callable[[Any], object]) -> None:
        """function(content), with every tensor in it on the CPU and as it is now."""
        self.wait()
        if self.device == "cpu":
            function(content)
            return
        copies = tree_map_only(Tensor, _copied, content)
        ready = _recorded(self.device)

        def later() -> None:
            ready()
            function(copies)

        self.last = self.pool.submit(copy_context().run, later)

    def wait(self) -> None:
        """Until all is written."""
        last, self.last = self.last, None
        if last is not None:
            last.result()


def _copied(v: Tensor) -> Tensor:
    """On the CPU, in pinned memory where the copy need not be waited for."""
    if v.device.type != "cuda":
        return v.to("cpu", copy=True)
    return torch.empty_like(v, device="cpu", pin_memory=True).copy_(v, non_blocking=True)


def _recorded(device: str) -> Callable[[], object]:
    """A function that waits for the copies asked for so far."""
    if not device.startswith("cuda"):
        return lambda: None
    event = torch.cuda.Event()
    event.record()
    return event.synchronize
