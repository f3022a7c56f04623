"""Control variates for the ELBO: everything about the integrand that is known in closed form.

Were the data Gaussian, N(mu, Sigma), the drift would be a_ref = -g (m^2 Sigma + sigma^2 I)^-1
(y - m mu), and its integrand h_ref = 1/2 ||a_ref||^2 + (g / sigma) a_ref . eps would have known
means given (s, x) and a known integral over s. In the eigenbasis of Sigma, with eigenvalues l,
D = m^2 l + sigma^2, z the coordinates of x - mu and e those of eps:

    linear    = sum g^2 (m / sigma) z e (sigma^2 / D^2 - 1 / D)            mean 0
    quadratic = sum g^2 (sigma^2 / (2 D^2) - 1 / D) (e^2 - 1)              mean 0
    h_ref     = linear + quadratic + h_bar(s; x)
    int_0^s (h_bar + beta d / 2) = sum [ z^2 sigma^2 / (l D) - log(D / l) - sigma^2 / D ] / 2

A third fluctuation is the DSM loss's own, white = (q0 / 2) (||eps||^2 - d) with q0 the base law,
g^2 / sigma^2 held near 0. Last, level = q0 takes away the mean of what is left in each slice of
time. Coefficients and the law of time are fitted on pilot draws of training data and then held,
so that the estimator stays unbiased whatever the fit: a poor fit costs variance only.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.elbo import ELBO, expected_prior, integral_of_div_f, stein_integrand
from vdiff.reverse import Drift
from vdiff.sde import VPSDE
from vdiff.times import Debiased, Histogram, stratified


@dataclass(frozen=True)
class GaussianReference:
    """mu (d,), basis (d, d) with eigenvectors in columns, eigenvalues (d,); all float64."""

    sde: VPSDE
    mu: Tensor
    basis: Tensor
    eigenvalues: Tensor

    @classmethod
    def fit(cls, sde: VPSDE, x: Tensor) -> "GaussianReference":
        """Mean and covariance of x (N, ...), shrunk a little towards its diagonal mean."""
        x = x.flatten(1).double()
        n, d = x.shape
        mu = x.mean(0)
        centred = x - mu
        covariance = centred.T @ centred / max(n - 1, 1)
        # Few examples leave null directions: the diagonal keeps every eigenvalue honest.
        shrink = min(0.5, d / (n + d))
        diagonal = covariance.diagonal().clamp(min=1e-6 * float(covariance.diagonal().mean()))
        covariance = (1 - shrink) * covariance + shrink * torch.diag(diagonal)
        eigenvalues, basis = torch.linalg.eigh(covariance)
        return cls(sde, mu, basis, eigenvalues.clamp(min=1e-9))

    def coordinates(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """(z, e): x - mu and eps in the eigenbasis, (B, d) each."""
        dtype = x.dtype
        basis = self.basis.to(dtype)
        z = (x.flatten(1) - self.mu.to(dtype)) @ basis
        return z.double(), (eps.flatten(1) @ basis).double()

    def fluctuations(self, z: Tensor, e: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """(linear, quadratic), (B,) each, of mean 0 given (s, x)."""
        m, var, beta = (v[:, None] for v in (self.sde.m(s), self.sde.var(s), self.sde.beta(s)))
        D = m.square() * self.eigenvalues + var
        linear = beta * m / var.sqrt() * z * e * (var / D - 1) / D
        quadratic = beta * (var / (2 * D) - 1) / D * (e.square() - 1)
        return linear.sum(1), quadratic.sum(1)

    def h_bar(self, z: Tensor, s: Tensor) -> Tensor:
        """The mean of h_ref given (s, x), (B,)."""
        m, var, beta = (v[:, None] for v in (self.sde.m(s), self.sde.var(s), self.sde.beta(s)))
        D = m.square() * self.eigenvalues + var
        return (beta * ((m.square() * z.square() + var) / (2 * D.square()) - 1 / D)).sum(1)

    def integral(self, z: Tensor, s: Tensor) -> Tensor:
        """int_0^s h_bar, z (B, d) and s (K,) to (B, K)."""
        var = self.sde.var(s)[:, None]
        lam = self.eigenvalues
        D = lam + (1 - lam) * var  # (K, d)
        of_s = -torch.log1p(var * (1 - lam) / lam) - var / D
        h_and_half_beta = (z.square() @ (var / (lam * D)).T + of_s.sum(1)) / 2
        return h_and_half_beta - self.sde.B(s) * z.shape[1] / 2


@dataclass(frozen=True)
class Plan:
    """A fitted estimator: the law of time, and coefficients per slice of its base law.

    c: (K, 3) of (linear, quadratic, white); c_bar: (K,) of h_bar; c_level: (K,) of the level.
    """

    reference: GaussianReference
    law: Histogram
    c: Tensor
    c_bar: Tensor
    c_level: Tensor

    def slice_of(self, s: Tensor) -> Tensor:
        K = len(self.c_bar)
        return (self.law.base.cdf(s) * K).long().clamp(0, K - 1)

    def edges(self) -> Tensor:
        K = len(self.c_bar)
        return self.law.base.icdf(torch.arange(K + 1, dtype=torch.float64) / K)


def _controls(plan_law, reference: GaussianReference, z: Tensor, e: Tensor, s: Tensor) -> Tensor:
    """(linear, quadratic, white), (B, 3), each of mean 0 given (s, x)."""
    linear, quadratic = reference.fluctuations(z, e, s)
    white = plan_law.unnormalized(s) * (e.square() - 1).sum(1) / 2
    return torch.stack([linear, quadratic, white], 1)


def efficient(a: Drift, x: Tensor, u: Tensor, eps: Tensor, plan: Plan) -> ELBO:
    """The efficient estimator; x, eps (B, ...), u (B,) float64 uniforms that become times."""
    reference, sde = plan.reference, plan.reference.sde
    s = plan.law.icdf(u)
    k = plan.slice_of(s)
    z, e = reference.coordinates(x, eps)
    c, c_bar = plan.c[k], plan.c_bar[k]
    rest = stein_integrand(sde, a, x, s, eps)
    rest = rest - (c * _controls(plan.law.base, reference, z, e, s)).sum(1)
    rest = rest - c_bar * reference.h_bar(z, s) - plan.c_level[k] * plan.law.base.density(s)
    known = reference.integral(z, plan.edges()).diff(dim=1) @ plan.c_bar
    known = known + plan.c_level.mean()  # each slice has the share 1 / K of the base law
    integral = rest / plan.law.density(s) + known + integral_of_div_f(sde, z.shape[1])
    return ELBO(expected_prior(sde, x), integral)


def fit_plan(
    sde: VPSDE,
    a: Drift,
    x: Tensor,
    reference: GaussianReference,
    generator: torch.Generator,
    slices: int = 16,
    eps_t: float = 1e-3,
) -> Plan:
    """Fit coefficients and the law of time on one pilot draw per training example x (N, ...).

    In each slice of the base law the integrand is regressed on the controls; the law then gets
    a share proportional to the residual's standard deviation, with a floor of a tenth.
    """
    base = Debiased(sde, eps_t, tail=0.5)
    s = base.icdf(stratified(len(x), generator))
    eps = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    h = stein_integrand(sde, a, x, s, eps)
    z, e = reference.coordinates(x, eps)
    columns = [_controls(base, reference, z, e, s), reference.h_bar(z, s)[:, None]]
    q = base.density(s)[:, None]
    design = torch.cat([*columns, torch.ones_like(q)], 1) / torch.cat([q] * 4 + [q / q], 1)
    target = h / q[:, 0]
    k = (base.cdf(s) * slices).long().clamp(0, slices - 1)
    coefficients = torch.zeros(slices, 5, dtype=torch.float64)
    spread = torch.zeros(slices, dtype=torch.float64)
    for i in range(slices):
        A, b = design[k == i], target[k == i]
        scale = A.square().mean(0).sqrt().clamp(min=1e-12)
        gram = (A / scale).T @ (A / scale) + 1e-6 * len(A) * torch.eye(5, dtype=A.dtype)
        solution = torch.linalg.solve(gram, (A / scale).T @ b) / scale
        coefficients[i] = solution
        spread[i] = (b - A @ solution).square().mean().sqrt()
    weights = spread / spread.mean() if spread.mean() > 0 else torch.ones_like(spread)
    law = Histogram(base, tuple((0.9 * weights + 0.1).tolist()))
    return Plan(reference, law, coefficients[:, :3], coefficients[:, 3], coefficients[:, 4])
