"""Control variates for the ELBO: everything about the integrand that is known in closed form.

Were the data Gaussian, N(mu, Sigma), the drift would be a_ref = -g (m^2 Sigma + sigma^2 I)^-1
(y - m mu), and its integrand h_ref = 1/2 ||a_ref||^2 + (g / sigma) a_ref . eps would have known
means given (s, x) and a known integral over s. In the eigenbasis of Sigma, with eigenvalues l,
D = m^2 l + sigma^2, r = sigma^2 / m^2, z the coordinates of x - mu and e those of eps:

    linear    = sum g^2 (m / sigma) z e (sigma^2 / D^2 - 1 / D)            mean 0
    quadratic = sum g^2 (sigma^2 / (2 D^2) - 1 / D) (e^2 - 1)              mean 0
    h_ref     = linear + quadratic + h_bar(s; x)
    int_0^s h_bar = sum [ z^2 r / (l (l + r)) - log(1 + r / l) - r / (l + r) ] / 2

A third fluctuation is the DSM loss's own, white = (q0 / 2) (||eps||^2 - d) with q0 the base law,
g^2 / sigma^2 held near 0. Last, level = q0 takes away the mean of what is left in each slice of
time. Coefficients and the time distribution are fitted on pilot draws of training data, then held,
so that the estimator stays unbiased whatever the fit: a poor fit costs variance only.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.elbo import ELBO, stein_integrand
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.times import Debiased, Histogram, floored, slice_of, stratified

WITHIN = 0.5
"""The share of the training examples that the controls take as they are; others are drawn in.

On MNIST 0.5 leaves the difference of two arms a twentieth of the variance that no bound leaves, on
other data as much as any share does.
"""

TAIL = 0.8
"""p of the time distribution's s^-p below eps_t. Dequantised images have edges; an example lies
within sigma of one with probability ~ sqrt(s), where the integrand is ~ 1/s: its weighted draws
then have a tail of shape k = (1 - p) / (3/2 - p), 1/2 at p = 1/2, where the variance is infinite,
and 0.29 here.
"""


def _mahalanobis(z: Tensor, eigenvalues: Tensor) -> Tensor:
    """Distance (B,) to the mean of coordinates z (B, d) in the eigenbasis."""
    return (z.square() / eigenvalues).sum(1).sqrt()


@dataclass(frozen=True)
class GaussianReference:
    """mu (d,), basis (d, d) with eigenvectors in columns, None for the axes themselves, eigenvalues
    (d,); all float64.

    radius: the Mahalanobis distance to mu within which WITHIN of the examples lie.
    """

    sde: SDE
    mu: Tensor
    basis: Tensor | None
    eigenvalues: Tensor
    radius: float

    @classmethod
    def fit(cls, sde: SDE, x: Tensor) -> "GaussianReference":
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
        eigenvalues = eigenvalues.clamp(min=1e-9)
        distance = _mahalanobis(centred @ basis, eigenvalues)
        return cls(sde, mu, basis, eigenvalues, float(torch.quantile(distance, WITHIN)))

    def coordinates(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """(z, e): x - mu and eps in the eigenbasis, (B, d) each.

        An outlier is drawn in to the radius: any function of x may serve as a control, and one of
        bounded distance cannot blow up the estimate. A bound on each coordinate would not do: a
        single pixel that is dead in training may be far out in hundreds of them.
        """
        z, e = x.flatten(1) - self.mu.to(x.dtype), eps.flatten(1)
        if self.basis is not None:
            basis = self.basis.to(x.dtype)
            z, e = z @ basis, e @ basis
        z = z.double()
        distance = _mahalanobis(z, self.eigenvalues)[:, None]
        return z * (self.radius / distance.clamp(min=1e-300)).clamp(max=1.0), e.double()

    def _at(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """m, sigma^2, g^2 and D at times s, (B, 1) and (B, d)."""
        m, var, g2 = (v[:, None] for v in (self.sde.m(s), self.sde.var(s), self.sde.g2(s)))
        return m, var, g2, m.square() * self.eigenvalues + var

    def fluctuations(self, z: Tensor, e: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """(linear, quadratic), (B,) each, of mean 0 given (s, x)."""
        m, var, g2, D = self._at(s)
        linear = g2 * m / var.sqrt() * z * e * (var / D - 1) / D
        quadratic = g2 * (var / (2 * D) - 1) / D * (e.square() - 1)
        return linear.sum(1), quadratic.sum(1)

    def h_bar(self, z: Tensor, s: Tensor) -> Tensor:
        """The mean of h_ref given (s, x), (B,)."""
        m, var, g2, D = self._at(s)
        return (g2 * ((m.square() * z.square() + var) / (2 * D.square()) - 1 / D)).sum(1)

    def integral(self, z: Tensor, s: Tensor) -> Tensor:
        """int_0^s h_bar, z (B, d) and s (K,) to (B, K)."""
        lam, r = self.eigenvalues, self.sde.log_nsr(s).exp()[:, None]  # (d,), (K, 1)
        of_s = -torch.log1p(r / lam) - r / (lam + r)
        return (z.square() @ (r / (lam * (lam + r))).T + of_s.sum(1)) / 2


@dataclass(frozen=True)
class ControlVariates:
    """A fitted estimator: the time distribution, and coefficients per slice of its base law.

    c: (K, 3) of (linear, quadratic, white); c_bar: (K,) of h_bar; c_level: (K,) of the level.
    """

    reference: GaussianReference
    base: Debiased
    law: Histogram
    c: Tensor
    c_bar: Tensor
    c_level: Tensor

    @classmethod
    def without_data(
        cls, sde: SDE, d: int, mean: float, variance: float, eps_t: float
    ) -> "ControlVariates":
        """Those of data N(mean, variance I) as they are, times from the base law. Such a guess
        takes away what any denoiser has in common with that Gaussian's."""
        mu, eigenvalues = torch.tensor([[mean], [variance]], dtype=torch.float64).expand(2, d)
        reference = GaussianReference(sde, mu, None, eigenvalues, math.inf)
        base = Debiased(sde, eps_t, tail=TAIL)
        one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        c = torch.stack([one, one, none], 1)
        return cls(reference, base, Histogram(base, one), c, one, none)

    def edges(self) -> Tensor:
        """The borders of the slices in time, (K + 1,)."""
        K = len(self.c_bar)
        return self.base.icdf(torch.arange(K + 1, dtype=torch.float64) / K)


def _controls(
    base: Debiased, reference: GaussianReference, z: Tensor, e: Tensor, s: Tensor
) -> Tensor:
    """(linear, quadratic, white), (B, 3), each of mean 0 given (s, x)."""
    linear, quadratic = reference.fluctuations(z, e, s)
    white = base.unnormalized(s) * (e.square() - 1).sum(1) / 2
    return torch.stack([linear, quadratic, white], 1)


def efficient(a: Drift, x: Tensor, u: Tensor, eps: Tensor, controls: ControlVariates) -> ELBO:
    """The efficient estimator; x, eps (B, ...), u (B,) float64 uniforms that become times."""
    reference, sde = controls.reference, controls.reference.sde
    s = controls.law.icdf(u)
    k = slice_of(controls.base, s, len(controls.c_bar))
    z, e = reference.coordinates(x, eps)
    c, c_bar = controls.c[k], controls.c_bar[k]
    rest = stein_integrand(sde, a, x, s, eps)
    rest = rest - (c * _controls(controls.base, reference, z, e, s)).sum(1)
    rest = rest - c_bar * reference.h_bar(z, s) - controls.c_level[k] * controls.base.density(s)
    known = reference.integral(z, controls.edges()).diff(dim=1) @ controls.c_bar
    known = known + controls.c_level.mean()  # each slice has the share 1 / K of the base law
    integral = rest / controls.law.density(s) + known + sde.minus_integral_of_div_f(z.shape[1])
    return ELBO(sde.expected_prior(x), integral)


def fit_controls(
    a: Drift,
    x: Tensor,
    reference: GaussianReference,
    generator: torch.Generator,
    eps_t: float = 1e-3,
    slices: int | None = None,
) -> ControlVariates:
    """Fit coefficients and the time distribution on one pilot draw per training example x (N, ...).

    In each slice of the base law the integrand is regressed on the controls; the law then gets
    a share proportional to the residual's standard deviation, with a floor of a tenth. By default
    there are 16 slices, or fewer where each would have less than 32 draws.
    """
    slices = slices or max(1, min(16, len(x) // 32))
    sde = reference.sde
    base = Debiased(sde, eps_t, tail=TAIL)
    s = base.icdf(stratified(len(x), generator))
    eps = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    h = stein_integrand(sde, a, x, s, eps)
    z, e = reference.coordinates(x, eps)
    q = base.density(s)[:, None]
    design = [_controls(base, reference, z, e, s) / q, reference.h_bar(z, s)[:, None] / q]
    design.append(torch.ones_like(q))
    k = slice_of(base, s, slices)
    coefficients, spread = _regress(torch.cat(design, 1), h / q[:, 0], k, slices)
    weights = spread / spread.mean() if spread.mean() > 0 else torch.ones_like(spread)
    law = Histogram(base, floored(weights))
    c, c_bar, c_level = coefficients[:, :3], coefficients[:, 3], coefficients[:, 4]
    return ControlVariates(reference, base, law, c, c_bar, c_level)


def _regress(design: Tensor, target: Tensor, k: Tensor, slices: int) -> tuple[Tensor, Tensor]:
    """Ridge regression of target (N,) on design (N, P) in each slice k (N,) of time.

    Returns the coefficients (slices, P) and the root mean square of the residual (slices,).
    """
    P = design.shape[1]
    coefficients = torch.zeros(slices, P, dtype=torch.float64)
    spread = torch.zeros(slices, dtype=torch.float64)
    for i in range(slices):
        A, b = design[k == i], target[k == i]
        scale = A.square().mean(0).sqrt().clamp(min=1e-12)
        gram = (A / scale).T @ (A / scale) + 1e-6 * len(A) * torch.eye(P, dtype=A.dtype)
        coefficients[i] = torch.linalg.solve(gram, (A / scale).T @ b) / scale
        spread[i] = (b - A @ coefficients[i]).square().mean().sqrt()
    return coefficients, spread
