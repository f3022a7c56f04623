"""VDM's bound on the log probability of grey levels (arXiv 2107.00630), in continuous time.

With z_0 = m x + sigma eps at the least noise s_0, and the levels at their centres,

    log P(x) >= E[log p(x | z_0)] - KL(q(z_T | x) || p(z_T)) - diffusion loss on [s_0, T].

Of these the last two, less the differential entropy of z_0 / m_0, are the bound of the reverse SDE
that ends at s_0: its draws. The categorical decoder knows nothing of the network, and its mean is a
number for each grey level, by quadrature.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.control import ControlVariates
from vdiff.diffusion.decoders import expected_categorical
from vdiff.diffusion.sde import at
from vdiff.diffusion.tensors import sum_features
from vdiff.diffusion.times import Histogram, slice_of
from vdiff.likelihood.space import Space, Vectors

if TYPE_CHECKING:
    from vdiff.likelihood.model import Model

LEAST = 1 / 6
"""VDM's: a log SNR of 13.3 for 256 levels in [-1, 1]. The decoder then errs in 3 of 1,000 pixels;
further down a network that knows no levels has nothing to gain, and one that does nothing to lose.
"""


def above(controls: ControlVariates, s_0: float) -> ControlVariates:
    """Those of the integral from s_0 on: slices of the base law there, each with the coefficients
    of the old slice that its middle lies in."""
    base, K = replace(controls.base, s_0=s_0), len(controls.c_bar)
    k = slice_of(controls.base, base.icdf((torch.arange(K).to(controls.c_bar) + 0.5) / K), K)
    weights = controls.law.weights
    law = Histogram(base, weights[(k * len(weights)) // K])
    level = controls.c_level[k] * (base.normaliser / controls.base.normaliser)
    return replace(
        controls, base=base, law=law, c=controls.c[k], c_bar=controls.c_bar[k], c_level=level
    )


def least(model: "Model") -> float:
    """s_0: where the model was told to end, else where sigma / m is LEAST of the least distance of
    two levels, or the least time of the network's training above that."""
    if model.ends_at is not None:
        return model.ends_at
    nsr = (LEAST * _centres(model.space).diff().min()).square()
    return max(model.s_min, float(model.sde.invert_log_nsr(nsr.log())))


def draws_of(
    model: "Model",
    s_0: float,
    x: Tensor,
    condition: Any,
    draws: int,
    batch_size: int,
    seed: int,
    progress: bool,
) -> np.ndarray:
    """(N, draws) nats of grey levels x (N, ...), by a model at their centres, as `Model.draws`
    has them of the bound."""
    controls = above(model._controls(condition, batch_size), s_0)
    z = model._bounds(controls, x, condition, draws, batch_size, seed, progress)
    return z + known(model, s_0, x).numpy()[:, None]


def known(model: "Model", s_0: float, x: Tensor) -> Tensor:
    """The differential entropy of z_0 / m_0 plus E[log p(x | z_0)], (N,) nats, for levels x."""
    log_nsr = float(model.sde.log_nsr(at(s_0)))
    decoder = expected_categorical(_centres(model.space), math.exp(log_nsr))
    entropy = model.space.d / 2 * (1 + math.log(2 * math.pi) + log_nsr)
    return sum_features(decoder[x.long()]) + entropy


def _centres(space: Vectors) -> Tensor:
    assert isinstance(space, Space) and space.levels is not None
    return space.value(torch.arange(space.levels) + 0.5)
