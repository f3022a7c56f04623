"""The optimisers of training: Adam as in the paper, AdamW, and Muon on matrices.

Muon (K. Jordan et al. 2024) orthogonalises the momentum of a weight matrix by Newton-Schulz
steps. A convolution's weight (out, in, k, k) is shown to it as the matrix (out, in k k), as a view;
whatever is no matrix, or is a network's last layer, stays with AdamW.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from vdiff.config import Training


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


def _matrix(w: Tensor) -> Tensor:
    """w (out, ...) as a matrix (out, rest) in the same memory, whose columns may be in any order.

    On GPUs convolutions are in the layout channels_last, in which channels stand last in memory.
    """
    if w.ndim == 4 and w.is_contiguous(memory_format=torch.channels_last):
        w = w.permute(0, 2, 3, 1)
    return w.view(len(w), -1)  # not flatten, which would copy another layout


class Matrices(torch.optim.Muon):
    """Muon on weights (out, ...), each seen as a matrix (out, rest) that shares its memory."""

    def __init__(self, weights: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        self.weights = list(weights)
        self.seen = [nn.Parameter(_matrix(w.detach())) for w in self.weights]
        super().__init__(self.seen, lr=lr, weight_decay=weight_decay)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.weights:
            weight.grad = None

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for weight, matrix in zip(self.weights, self.seen, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)
        super().step(closure)


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
    return Scheduled(t, [Matrices(inner, t.muon_lr, t.weight_decay), _adamw(rest, t)])


def _adamw(weights: list[nn.Parameter], t: Training) -> torch.optim.AdamW:
    return torch.optim.AdamW(weights, lr=t.lr, weight_decay=t.weight_decay, fused=True)
