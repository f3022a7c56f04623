"""Estimators of the ELBO of the plug-in reverse SDE (arXiv 2106.02808).

log p(x) >= E[log p_0(Y_T)] - int_0^T E[ 1/2 ||a||^2 + div(g a - f) ] ds, for every x, with the
prior p_0 = N(0, prior_sd^2 I).

`paper` is the evaluation of the paper's code: one uniform time, one Hutchinson probe.
`control.efficient` has the same mean: by Stein's identity E[div a] = E[a . eps] / sigma it needs
no backward pass; times follow any law q with weight 1/q; the prior term is in closed form; and
control variates of known mean take most of the noise away.
All terms are in nats, (B,), one for each example.
"""

from dataclasses import dataclass

from torch import Tensor

from vdiff.diffusion.divergence import hutchinson
from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.tensors import expand_like, sum_features


@dataclass(frozen=True)
class ELBO:
    """prior: (B,) the term of Y_T; integral: (B,) the estimate of the time integral; in nats."""

    prior: Tensor
    integral: Tensor

    @property
    def value(self) -> Tensor:
        return self.prior - self.integral


def paper(
    sde: SDE, a: Drift, x: Tensor, s: Tensor, eps: Tensor, eps_T: Tensor, probe: Tensor
) -> ELBO:
    """One uniform time s (B,) and one probe per example; x, eps, eps_T, probe (B, ...)."""
    T = s.new_full(s.shape, sde.T)
    y = sde.perturb(x, s, eps)
    a_y, div_a = hutchinson(lambda y: a(y, s.to(y.dtype)), y, probe)
    div = sde.g(s) * div_a - sde.div_f(s, x[0].numel())
    integrand = sum_features(a_y.square()) / 2 + div
    return ELBO(sde.prior_log_prob(sde.perturb(x, T, eps_T)).to(div.dtype), sde.T * integrand)


def stein_integrand(sde: SDE, a: Drift, x: Tensor, s: Tensor, eps: Tensor) -> Tensor:
    """1/2 ||a||^2 + (g / sigma) a . eps, (B,): in mean 1/2 ||a||^2 + g div a at time s.

    It equals (g^2 / sigma^2) (DSM loss - 1/2 ||eps||^2): the link between loss and ELBO.
    """
    a_y = a(sde.perturb(x, s, eps), s.to(x.dtype))
    ratio = (sde.g(s) / sde.sigma(s)).to(x.dtype)
    return sum_features(a_y * (a_y / 2 + expand_like(ratio, x) * eps)).to(s.dtype)


def elbo_of_losses(
    sde: SDE, q: Tensor, x: Tensor, s: Tensor, eps: Tensor, losses: Tensor
) -> Tensor:
    """The ELBO from DSM losses (B,) of draws (x, s, eps), s (B,) of density q (B,): (B,), nats,
    unbiased.

    The integrand (g^2/sigma^2) (loss - ||eps||^2/2) with the control g^2 (||eps||^2 - d)/2 of
    mean 0, weighted by 1/q.
    """
    d = x[0].numel()
    square = sum_features(eps.square())
    h = sde.weight(s) * (losses - square / 2 + sde.var(s) * (square - d) / 2)
    return sde.expected_prior(x) - sde.minus_integral_of_div_f(d) - h / q
