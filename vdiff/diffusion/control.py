"""Control variates for the ELBO: what is known in closed form is taken out of the integrand.

From a Gaussian reference (`reference`): linear and quadratic, of mean 0 given (s, x), and h_bar,
whose integral is known. A third fluctuation is the DSM loss's own, white = (q0 / 2) (||eps||^2 - d)
with q0 the base law, g^2 / sigma^2 held near 0. Last, level = q0 takes away the mean of what is
left in each slice of time. Coefficients, the time distribution and which reference is taken are
fitted on pilot draws of training data, then held, so that the estimator stays unbiased whatever the
fit: a poor fit costs variance only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.diffusion.elbo import ELBO, stein_integrand
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.times import Debiased, Histogram, floored, slice_of, stratified
from vdiff.diffusion.transforms import rows_of
from vdiff.diffusion.transforms.identity import identity

TAIL = 0.8
"""p of the time distribution's s^-p below eps_t. Dequantised images have edges; an example lies
within sigma of one with probability ~ sqrt(s), where the integrand is ~ 1/s: its weighted draws
then have a tail of shape k = (1 - p) / (3/2 - p), 1/2 at p = 1/2, where the variance is infinite,
and 0.29 here.
"""


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
        cls, sde: SDE, d: int, mean: float, variance: float, eps_t: float, device: str = "cpu"
    ) -> "ControlVariates":
        """Those of data N(mean, variance I) as they are, times from the base law. Such a guess
        takes away what any denoiser has in common with that Gaussian's."""
        moments = torch.tensor([[mean], [variance]], dtype=torch.float64, device=device)
        mu, eigenvalues = moments.expand(2, d)
        reference = GaussianReference(sde, mu, identity, eigenvalues, math.inf)
        base = Debiased(sde, eps_t, tail=TAIL)
        one, none = mu.new_ones(1), mu.new_zeros(1)
        c = torch.stack([one, one, none], 1)
        return cls(reference, base, Histogram(base, one), c, one, none)

    def edges(self) -> Tensor:
        """The borders of the slices in time, (K + 1,)."""
        K = len(self.c_bar)
        return self.base.icdf(torch.arange(K + 1).to(self.c_bar) / K)


def _controls(
    base: Debiased, reference: GaussianReference, z: Tensor, e: Tensor, s: Tensor
) -> Tensor:
    """(linear, quadratic, white, h_bar), (B, 4); but for the last of mean 0 given (s, x)."""
    linear, quadratic = reference.fluctuations(z, e, s)
    white = base.unnormalized(s) * (e.square() - 1).sum(1) / 2
    return torch.stack([linear, quadratic, white, reference.h_bar(z, s)], 1)


def efficient(a: Drift, x: Tensor, u: Tensor, eps: Tensor, controls: ControlVariates) -> ELBO:
    """The efficient estimator; x, eps (B, ...), u (B,) float64 uniforms that become times."""
    reference, sde = controls.reference, controls.reference.sde
    s = controls.law.icdf(u)
    h = stein_integrand(sde, a, x, s, eps)
    k = slice_of(controls.base, s, len(controls.c_bar))
    c, edges = torch.cat([controls.c, controls.c_bar[:, None]], 1), controls.edges()
    taken, known = [], []
    for rows in rows_of(x):
        z, e = reference.coordinates(x[rows], eps[rows])
        taken.append((c[k[rows]] * _controls(controls.base, reference, z, e, s[rows])).sum(1))
        known.append(reference.integral(z, edges).diff(dim=1) @ controls.c_bar)
    rest = h - torch.cat(taken) - controls.c_level[k] * controls.base.density(s)
    # Each slice has the share 1 / K of the base law.
    level = controls.c_level.mean() + sde.minus_integral_of_div_f(x[0].numel())
    integral = rest / controls.law.density(s) + torch.cat(known) + level
    return ELBO(sde.expected_prior(x), integral)


@dataclass(frozen=True)
class Pilot:
    """Draws of training examples, `each` of an example in a row: x (N, ...), times s (N,) from the
    base law, noise eps like x, and the integrand h (N,)."""

    base: Debiased
    x: Tensor
    s: Tensor
    eps: Tensor
    h: Tensor
    each: int = 1

    @classmethod
    def of(
        cls, sde: SDE, drift_of: Callable[[Tensor], Drift], x: Tensor, generator: torch.Generator,
        eps_t: float, batch_size: int, s_0: float = 0.0, each: int = 1,
    ) -> "Pilot":  # fmt: skip
        """Asks drift_of(rows) (K,) for the drift of those examples, `batch_size` of them at once;
        no times are below s_0."""
        base = Debiased(sde, eps_t, TAIL, s_0)
        x = x.repeat_interleave(each, 0) if each > 1 else x
        s = base.icdf(stratified(len(x), generator)).to(x.device)
        eps = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        with torch.no_grad():
            h = [
                stein_integrand(sde, drift_of(k // each), x[k], s[k], eps[k])
                for k in torch.arange(len(x)).split(batch_size)
            ]
        return cls(base, x, s, eps, torch.cat(h), each)

    def __getitem__(self, rows: slice) -> "Pilot":
        x, s, eps, h = (v[rows] for v in (self.x, self.s, self.eps, self.h))
        return Pilot(self.base, x, s, eps, h, self.each)

    @property
    def examples(self) -> Tensor:
        """Once each."""
        return self.x[:: self.each]

    def fit(self, reference: GaussianReference, slices: int | None = None) -> "Fitted":
        """In each slice of the base law the integrand is regressed on the controls; by default
        there are 16 slices, or fewer where each would have less than 32 draws."""
        base, x, q = self.base, self.x, self.base.density(self.s)[:, None]
        slices = slices or max(1, min(16, len(x) // 32))
        controls = []
        for rows in rows_of(x):
            z, e = reference.coordinates(x[rows], self.eps[rows])
            controls.append(_controls(base, reference, z, e, self.s[rows]))
        design = torch.cat([torch.cat(controls) / q, torch.ones_like(q)], 1)
        k = slice_of(base, self.s, slices)
        return Fitted(reference, base, *_regress(design, self.h / q[:, 0], k, slices))


@dataclass(frozen=True)
class Fitted:
    """coefficients: (K, 5) of (linear, quadratic, white, h_bar, level); spread: (K,) root mean
    squares of what is left, over the base law's density."""

    reference: GaussianReference
    base: Debiased
    coefficients: Tensor
    spread: Tensor

    @property
    def variance(self) -> float:
        """Of a draw, by the time distribution that suits it."""
        return float(self.spread.mean()) ** 2

    def controls(self) -> ControlVariates:
        """The law gets a share proportional to the spread, with a floor of a tenth."""
        mean, c = self.spread.mean(), self.coefficients
        weights = self.spread / mean if mean > 0 else torch.ones_like(self.spread)
        law = Histogram(self.base, floored(weights))
        return ControlVariates(self.reference, self.base, law, c[:, :3], c[:, 3], c[:, 4])


def fit_controls(
    a: Drift,
    x: Tensor,
    reference: GaussianReference,
    generator: torch.Generator,
    eps_t: float = 1e-3,
    slices: int | None = None,
) -> ControlVariates:
    """Control variates by one reference, fitted on training examples x (N, ...) at once."""
    pilot = Pilot.of(reference.sde, lambda rows: a, x, generator, eps_t, len(x))
    return pilot.fit(reference, slices).controls()


def _regress(design: Tensor, target: Tensor, k: Tensor, slices: int) -> tuple[Tensor, Tensor]:
    """Ridge regression of target (N,) on design (N, P) in each slice k (N,) of time.

    Returns the coefficients (slices, P) and the root mean square of the residual (slices,).
    """
    P = design.shape[1]
    coefficients, spread = design.new_zeros(slices, P), design.new_zeros(slices)
    for i in range(slices):
        A, b = design[k == i], target[k == i]
        scale = A.square().mean(0).sqrt().clamp(min=1e-12)
        gram = (A / scale).T @ (A / scale) + 1e-6 * len(A) * torch.eye(P).to(A)
        coefficients[i] = torch.linalg.solve(gram, (A / scale).T @ b) / scale
        spread[i] = (b - A @ coefficients[i]).square().mean().sqrt()
    return coefficients, spread
