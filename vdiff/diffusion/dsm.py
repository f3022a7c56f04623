"""Denoising score matching (arXiv 2106.02808): 1/2 || a sigma / g + eps ||^2 per example.

Its expectation under s uniform is a reweighted, hence biased, bound; under the debiased law of
`times.Debiased` it is, up to the truncation at eps_t and a constant, the negative ELBO.
"""

from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like, sum_features


def dsm_loss(sde: SDE, a: Drift, x: Tensor, s: Tensor, eps: Tensor) -> Tensor:
    """The loss of given (x, s, eps), (B,), in nats; x and eps (B, ...), s (B,) float64."""
    y = sde.perturb(x, s, eps)
    ratio = (sde.sigma(s) / sde.g(s)).to(x.dtype)
    residual = expand_like(ratio, x) * a(y, s.to(x.dtype)) + eps
    return sum_features(residual.square()) / 2
