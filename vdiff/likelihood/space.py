"""How data become the vectors that a network sees, and vectors data again."""

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from vdiff.diffusion.bits import dequantise, to_real, to_unit
from vdiff.diffusion.tensors import sum_features
from vdiff.errors import VdiffError, first_line
from vdiff.likelihood.noise import Streams


class Vectors(Protocol):
    """How examples become the vectors that a network sees. shape, d: of a vector, and its
    dimensions; d_x: dimensions of what the likelihood is of; levels: grey levels, if these are
    dequantised; random: whether the vectors of an example are; guess: a mean and variance of a
    coordinate before any data are seen; of: what the likelihood is of, in words."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def levels(self) -> int | None: ...
    @property
    def d(self) -> int: ...
    @property
    def d_x(self) -> int: ...
    @property
    def random(self) -> bool: ...
    @property
    def guess(self) -> tuple[float, float]: ...
    @property
    def of(self) -> str: ...
    def examples(self, x: Any) -> Tensor: ...
    def drawn(self, x: Tensor, of: Tensor, noise: Streams) -> tuple[Tensor, Tensor]: ...
    def of_vectors(self, y: Tensor) -> Tensor: ...


class Space(NamedTuple):
    """Grey levels, or vectors that are taken as they are.

    shape: of an example; levels: grey levels, None for real vectors; low, high: what the levels 0
    and `levels` become; logit: the paper's transform instead; spread: None for uniform
    dequantisation, else the standard deviation, in grey levels, of a truncated normal one
    (arXiv 2305.03935), 0 for the centres of the levels as they are, which have no density.
    """

    shape: tuple[int, ...]
    levels: int | None
    low: float = -1.0
    high: float = 1.0
    logit: bool = False
    spread: float | None = None

    @property
    def d(self) -> int:
        """Dimensions of an example."""
        return math.prod(self.shape)

    @property
    def d_x(self) -> int:
        return self.d

    @property
    def random(self) -> bool:
        """Whether an example has a vector for each draw, as a dequantised one has."""
        return self.levels is not None and self.spread != 0

    @property
    def of(self) -> str:
        return "log p(x)"

    @property
    def log_cell(self) -> float:
        """Log volume, in nats, of the cell of an image's grey levels in [0, 1]^d; 0 for vectors."""
        return -self.d * math.log(self.levels or 1)

    @property
    def guess(self) -> tuple[float, float]:
        """A mean and variance of a coordinate, before any data are seen."""
        if self.levels is None:
            return 0.0, 1.0
        if self.logit:
            return 0.0, 4.0
        return (self.low + self.high) / 2, (self.high - self.low) ** 2 / 8

    def value(self, grey: Tensor) -> Tensor:
        """What grey levels, real numbers from 0 to `levels`, become, float64: k and k + 1 are the
        edges of the level k, k + 1/2 is its centre."""
        assert self.levels is not None
        unit = grey.double()[None] / self.levels
        return to_real(unit, self.logit, self.low, self.high)[0][0]

    def examples(self, x: Any) -> Tensor:
        """x (N, ...), or what an array or a list holds, as grey levels (uint8) or as vectors
        (float32, or float64 if it is that). Raises VdiffError unless they are examples."""
        try:
            x = torch.as_tensor(x).detach().cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise VdiffError(f"x is no array of numbers: {first_line(error)}.") from None
        images = self.levels is not None
        kind = "grey levels, integers such as uint8" if images else "real numbers, floating"
        whole = not x.is_floating_point() and not x.is_complex() and x.dtype != torch.bool
        fits = whole if images else x.is_floating_point()
        if not fits or x.ndim != 1 + len(self.shape) or x.shape[1:] != torch.Size(self.shape):
            sizes = "".join(f", {n}" for n in self.shape) or ","
            raise VdiffError(
                f"x is {x.dtype} of shape {tuple(x.shape)}; it must be {kind}, of shape (N{sizes})."
            )
        if not len(x):
            raise VdiffError("x is empty; it must hold at least one example.")
        if self.levels is not None:
            low, high = int(x.min()), int(x.max())
            if low < 0 or high >= self.levels:
                raise VdiffError(
                    f"x has the grey level {low if low < 0 else high}; the levels are 0 to "
                    f"{self.levels - 1}."
                )
            return x.to(torch.uint8)
        if not torch.isfinite(x).all():
            raise VdiffError("x holds values that are not finite.")
        return x if x.dtype == torch.float64 else x.float()

    def vectors(self, x: Tensor, u: Tensor | None) -> tuple[Tensor, Tensor]:
        """(y, log_det): vectors of examples x (B, ...) dequantised by uniforms u like x, and what
        is added to their log density for that on [0, 1]^d (uniform dequantisation) or its bound,
        (B,) nats, in the precision of u. Real vectors stay as they are, and u may be None."""
        if self.levels is None or u is None:
            return x, torch.zeros(len(x), dtype=x.dtype, device=x.device)
        log_q: Tensor | float = 0.0
        if self.spread is not None:
            half = math.erf(0.5 / self.spread / math.sqrt(2))  # the mass within half a level
            v = math.sqrt(2) * torch.erfinv((2 * u - 1) * half)
            u = (0.5 + self.spread * v).clamp(0, 1 - 1e-12)
            log_q = sum_features(-v.square() / 2)
            log_q = log_q - self.d * (math.log(self.spread * math.sqrt(2 * math.pi) * half))
        y, log_det = to_real(dequantise(x, u, self.levels), self.logit, self.low, self.high)
        return y, log_det - log_q

    def drawn(self, x: Tensor, of: Tensor, noise: Streams) -> tuple[Tensor, Tensor]:
        """(y, log_det) of rows x (B, ...), row k being a draw of the example of[k], whose stream is
        in `noise`: vectors like x, and what is added to their log density, (B,) nats, float64."""
        if self.spread == 0:
            return self.value(x + 0.5).float(), torch.zeros(len(x), dtype=torch.float64)
        u = None if self.levels is None else noise.uniform(of, self.shape, "dequantisation")
        y, log_det = self.vectors(x, u)
        return y if u is None else y.float(), log_det.double() + self.log_cell

    def unit(self, y: Tensor) -> Tensor:
        """Vectors of images in [0, 1]; samples may fall outside."""
        return to_unit(y, self.logit, self.low, self.high)

    def grey(self, unit: Tensor) -> Tensor:
        """What `unit` gives, as grey levels (uint8); what lies outside is clipped."""
        assert self.levels is not None
        return (unit * self.levels).floor().clamp(0, self.levels - 1).to(torch.uint8)

    def of_vectors(self, y: Tensor) -> Tensor:
        """Vectors as examples again."""
        return y if self.levels is None else self.grey(self.unit(y))
