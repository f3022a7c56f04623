"""Muon (K. Jordan et al. 2024, kellerjordan.github.io/posts/muon) on weights (out, ...).

Each is seen as a matrix (out, rest). A step goes along nearly U V^T, where U S V^T is the singular
value decomposition of the momentum: five Newton-Schulz steps X <- a X + (b A + c A^2) X, A = X X^T,
take all singular values to between 0.6 and 1.3. Matrices of one shape go through them together.

torch.optim.Muon (2.14) takes one matrix after the other, in bfloat16 on every device. A processor
without bfloat16 instructions then spends more than half of a small network's training on it.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vdiff.machine.captured import Captured

A, B, C, STEPS = 3.4445, -4.7750, 2.0315, 5
MOMENTUM = 0.95


def orthogonal(x: Tensor) -> Tensor:
    """Nearly U V^T of each matrix of x (k, m, n), m <= n: on GPUs, and under autocast, in bfloat16,
    the precision that the coefficients are made for."""
    dtype, x = x.dtype, x if x.device.type == "cpu" else x.bfloat16()
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.to(dtype)


def all_orthogonal(*matrices: Tensor) -> list[Tensor]:
    """`orthogonal` of each; those of one shape, or of its transpose, go through it together."""
    by_shape: dict[tuple[int, int], list[int]] = {}
    for i, m in enumerate(matrices):
        by_shape.setdefault((min(m.shape), max(m.shape)), []).append(i)
    steps = list(matrices)
    for alike in by_shape.values():
        high = [len(matrices[i]) > matrices[i].shape[1] for i in alike]
        wide = [matrices[i].mT if h else matrices[i] for i, h in zip(alike, high, strict=True)]
        for i, h, step in zip(alike, high, orthogonal(torch.stack(wide)), strict=True):
            steps[i] = step.mT if h else step
    return steps


def as_matrix(w: Tensor) -> Tensor:
    """w (out, ...) as a matrix (out, rest) in the same memory, whose columns may be in any order.

    On GPUs convolutions are in the layout channels_last, in which channels stand last in memory.
    """
    if w.ndim == 4 and w.is_contiguous(memory_format=torch.channels_last):
        w = w.permute(0, 2, 3, 1)
    return w.view(len(w), -1)  # not flatten, which would copy another layout


class Muon(torch.optim.Optimizer):
    """Nesterov's momentum, made orthogonal; a step of a matrix that is higher than wide is larger
    by the root of the ratio. Weight decay is decoupled."""

    def __init__(
        self, weights: Iterable[Tensor], lr: float, weight_decay: float, captured: bool = False
    ) -> None:
        self.orthogonal = Captured(all_orthogonal) if captured else all_orthogonal
        self.weights = list(weights)
        seen = [nn.Parameter(as_matrix(w.detach())) for w in self.weights]
        super().__init__(seen, {"lr": lr, "weight_decay": weight_decay})
        self.seen = seen
        for matrix in seen:
            self.state[matrix]["momentum"] = torch.zeros_like(matrix)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Weights without a gradient stay as they are."""
        (group,) = self.param_groups
        both = zip(self.weights, self.seen, strict=True)
        moved = [(m, as_matrix(w.grad)) for w, m in both if w.grad is not None]
        matrices: list[Tensor] = [m for m, _ in moved]
        gradients = [g for _, g in moved]
        momenta = [self.state[m]["momentum"] for m in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        by_size: dict[float, tuple[list, list]] = {}
        for m, step in zip(matrices, self.orthogonal(*ahead), strict=True):
            size = group["lr"] * math.sqrt(max(1, len(m) / m.shape[1]))
            for part, v in zip(by_size.setdefault(size, ([], [])), (m, step), strict=True):
                part.append(v)
        for size, (alike, steps) in by_size.items():
            torch._foreach_add_(alike, steps, alpha=-size)
