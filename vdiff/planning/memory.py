"""How much memory a training step and an evaluation will take, without taking it.

The step is run on fake tensors, which have shapes and no content, and PyTorch's memory tracker adds
up what would be allocated: weights, gradients, optimiser, activations. Once activations outweigh
gradients it is linear in the number of examples at once, so two runs tell all. Libraries, kernels'
workspaces and what the allocator cannot use again come on top.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from vdiff.config import Run
from vdiff.diffusion.drift import autocast
from vdiff.trained import input_shape, network_of

SIZES = (32, 64)  # examples at once of the two runs


@dataclass(frozen=True)
class Memory:
    """fixed, each: bytes, and bytes for each example at once."""

    fixed: float
    each: float

    def at(self, examples: int) -> float:
        return self.fixed + self.each * examples

    def most(self, device: float, headroom: float) -> int:
        """The largest power of two of examples that fits a device of so many bytes, a share of
        which is left free; 0 for none."""
        room = (1 - headroom) * device - self.fixed
        return 1 << int(room / self.each).bit_length() - 1 if room >= self.each else 0


def training_memory(run: Run, shape: tuple[int, ...]) -> Memory:
    """Of a training step, without the training set, which lives on the device too."""

    def step(net: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, s: Tensor) -> None:
        optimiser.zero_grad()
        net(x, s).square().sum().backward()
        optimiser.step()

    memory = _measured(run, shape, step, trains=True)
    weights = 4 * sum(p.numel() for p in network_of(run, shape).parameters())
    average = weights if run.training.ema else 0
    return Memory(memory.fixed + average, memory.each)


def evaluation_memory(run: Run, shape: tuple[int, ...], paper: bool) -> Memory:
    """Of a batch of an evaluation; the paper's estimator differentiates by the image."""

    def forward(net: nn.Module, optimiser: object, x: Tensor, s: Tensor) -> None:
        with torch.no_grad():
            net(x, s)

    def divergence(net: nn.Module, optimiser: object, x: Tensor, s: Tensor) -> None:
        x.requires_grad_()
        net(x, s).sum().backward()

    return _measured(run, shape, divergence if paper else forward, trains=False)


def _measured(run: Run, shape: tuple[int, ...], step: Callable, trains: bool) -> Memory:
    low, high = (_peak(run, shape, step, n, trains) for n in SIZES)
    each = (high - low) / (SIZES[1] - SIZES[0])
    return Memory(low - SIZES[0] * each, each)


def _peak(run: Run, shape: tuple[int, ...], step: Callable, n: int, trains: bool) -> int:
    """Bytes at the worst moment of a step with n examples at once."""
    network = network_of(run, shape)
    casting = autocast("cpu", run.training.precision if trains else "float32")
    with FakeTensorMode(allow_non_fake_inputs=True), casting:
        net = copy.deepcopy(network)
        if not trains:
            _freeze(net)
        optimiser = torch.optim.Adam(net.parameters()) if trains else None
        x, s = torch.randn(n, *input_shape(run, shape)), torch.rand(n)
        tracker = MemTracker()
        if optimiser:  # its moments are made by the first step
            for p in net.parameters():
                p.grad = torch.zeros_like(p)
            optimiser.step()
            tracker.track_external(optimiser)
        tracker.track_external(net, x, s)
        with tracker:
            step(net, optimiser, x, s)
    peak = tracker.get_tracker_snapshot("peak")
    return max(sizes["Total"] for sizes in peak.values())


def _freeze(network: nn.Module) -> None:
    """Weights as buffers: the tracker takes every parameter for one that is trained."""
    for module in network.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, p.detach())
