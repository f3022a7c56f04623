"""The optimisers of training: Adam as in the paper, AdamW, and Muon on matrices.

Whatever is no matrix, or is a network's last layer, stays with AdamW.
"""

from collections.abc import Sequence

import torch
from torch import nn

from vdiff.config import Training
from vdiff.training.muon import Muon


def rate(t: Training, iteration: int) -> float:
    """The factor of the step sizes at an iteration: linear warm-up, and linear decay to 0."""
    up = (iteration + 1) / t.warmup if iteration < t.warmup else 1.0
    decaying = t.decay * t.iterations
    left = t.iterations - iteration
    return min(up, left / decaying if left < decaying else 1.0)


class Scheduled:
    """Optimisers that step together, their step sizes times the `rate` of the iteration."""

    def __init__(self, t: Training, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        self.t, self.optimisers = t, optimisers
        self.full = [group["lr"] for o in optimisers for group in o.param_groups]

    def zero_grad(self) -> None:
        for optimiser in self.optimisers:
            optimiser.zero_grad()

    def step(self, iteration: int) -> None:
        factor = rate(self.t, iteration)
        groups = [group for o in self.optimisers for group in o.param_groups]
        for group, lr in zip(groups, self.full, strict=True):
            group["lr"] = lr * factor
        for optimiser in self.optimisers:
            optimiser.step()

    def state_dict(self) -> list[dict]:
        return [optimiser.state_dict() for optimiser in self.optimisers]

    def load_state_dict(self, state: list[dict]) -> None:
        for optimiser, part in zip(self.optimisers, state, strict=True):
            optimiser.load_state_dict(part)


def optimiser_of(network: nn.Module, t: Training) -> Scheduled:
    """The optimiser that the training asks for; the paper's is plain Adam."""
    parameters = list(network.parameters())
    if t.optimiser == "adam":
        return Scheduled(t, [torch.optim.Adam(parameters, lr=t.lr, fused=True)])
    if t.optimiser == "adamw":
        return Scheduled(t, [_adamw(parameters, t)])
    last = {id(p) for module in network.outputs for p in module.parameters()}  # type: ignore
    inner = [p for p in parameters if p.ndim > 1 and id(p) not in last]
    known = {id(p) for p in inner}
    rest = [p for p in parameters if id(p) not in known]
    muon = Muon(inner, t.muon_lr, t.weight_decay, captured=t.compile == "graph")
    return Scheduled(t, [muon, _adamw(rest, t)])


def _adamw(weights: list[nn.Parameter], t: Training) -> torch.optim.AdamW:
    return torch.optim.AdamW(weights, lr=t.lr, weight_decay=t.weight_decay, fused=True)
