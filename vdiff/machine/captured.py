"""A function of tensors as one launch: captured as a CUDA graph at its first call, then replayed.

A processor takes longer to launch the hundreds of kernels of a training step, or of a pass through
a network, one by one than a GPU takes to run them.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
DEVICES = ("cuda",)  # kinds of devices that capture
WARM = 3  # calls before one is captured, in which libraries choose and load their kernels
SHAPES = 4  # of inputs that passes are captured for: each holds memory


def capture(function: Callable, given: Sequence[Tensor]) -> tuple[Callable[[], object], Any]:
    """(replay, result): replay computes the tensors in result anew, from the tensors given."""
    with torch.cuda.device(given[0].device):
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM):
                function(*given)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # Other threads go on writing meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = function(*given)
    return graph.replay, result


class Captured:
    """`function` as it is, but replayed where the tensors that it is given are on a GPU.

    What it returns, and what else it makes, such as gradients, has the same memory at every call,
    which the next one overwrites. It may change nothing that is there before (it is called WARM
    times too often), draw no random numbers, read nothing on the host, and the shapes may not
    change. Where it cannot be captured, the log says why and it is called as it is.
    """

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.given: list[Tensor] = []
        self.replay: Callable[[], object] | None = None
        self.failed = False

    def __call__(self, *given: Tensor) -> Any:
        if self.failed or given[0].device.type not in DEVICES:
            return self.function(*given)
        if self.replay is None:
            self.given = [v.clone() for v in given]
            try:
                self.replay, self.result = capture(self.function, self.given)
            except RuntimeError as error:
                log.warning(
                    "Operations cannot be captured (%s); they are launched one by one.", error
                )
                self.failed = True
                return self.function(*given)
        torch._foreach_copy_(self.given, list(given))
        self.replay()
        return self.result


class Passes:
    """`function`, such as a drift, of `network`, which may get other weights in the same memory:
    calls that want no gradient are replayed, of the first SHAPES shapes of input. What a call
    returns is its own."""

    def __init__(self, function: Callable[..., Tensor], network: nn.Module) -> None:
        self.function, self.network = function, network
        self.captured: dict[tuple, Captured] = {}

    def __call__(self, *given: Tensor) -> Tensor:
        shapes = tuple((v.shape, v.dtype, v.device) for v in given)
        full = len(self.captured) == SHAPES and shapes not in self.captured
        every = (*given, *self.network.parameters())
        if full or (torch.is_grad_enabled() and any(v.requires_grad for v in every)):
            return self.function(*given)
        with torch.no_grad():
            return self.captured.setdefault(shapes, Captured(self.function))(*given).clone()
