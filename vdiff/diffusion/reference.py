"""A Gaussian beside the data: what the ELBO's integrand would be if they were that.

Were the data N(mu, Sigma), the drift would be a_ref = -g (m^2 Sigma + sigma^2 I)^-1 (y - m mu), and
its integrand h_ref = 1/2 ||a_ref||^2 + (g / sigma) a_ref . eps would have known means given (s, x)
and a known integral over s. In orthonormal coordinates in which Sigma is diagonal, with variances
l, D = m^2 l + sigma^2, r = sigma^2 / m^2, z the coordinates of x - mu and e those of eps:

    linear    = sum g^2 (m / sigma) z e (sigma^2 / D^2 - 1 / D)            mean 0
    quadratic = sum g^2 (sigma^2 / (2 D^2) - 1 / D) (e^2 - 1)              mean 0
    h_ref     = linear + quadratic + h_bar(s; x)
    int_0^s h_bar = sum [ z^2 r / (l (l + r)) - log(1 + r / l) - r / (l + r) ] / 2

The coordinates (`transforms`) need not be Sigma's own: means stay as they are, and what is lost is
correlation that the reference then does not know of.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.diffusion.transforms import Fit, Transform, dense, mean, parts
from vdiff.diffusion.transforms.identity import identity

WITHIN = 0.5
"""The share of the training examples that the controls take as they are; others are drawn in.

On MNIST 0.5 leaves the difference of two arms a twentieth of the variance that no bound leaves, on
other data as much as any share does.
"""


def _mahalanobis(z: Tensor, eigenvalues: Tensor) -> Tensor:
    """Distance (B,) to the mean of coordinates z (B, d) of variances (d,)."""
    return (z.square() / eigenvalues).sum(1).sqrt()


@dataclass(frozen=True)
class GaussianReference:
    """mu: (d,) float64; transform: to the coordinates; eigenvalues: (d,) float64, the variances in
    them; radius: the Mahalanobis distance to mu within which WITHIN of the examples lie.
    """

    sde: SDE
    mu: Tensor
    transform: Transform
    eigenvalues: Tensor
    radius: float

    @classmethod
    def fit(cls, sde: SDE, x: Tensor, kind: Fit = dense.fit) -> "GaussianReference":
        """Mean and covariance of x (N, ...), by a kind of transform."""
        transform, eigenvalues = kind(x)
        mu = mean(identity, x)
        far = cls(sde, mu, transform, eigenvalues, torch.inf)
        distance = [_mahalanobis(far._position(p), eigenvalues) for p in parts(x)]
        radius = float(torch.quantile(torch.cat(distance), WITHIN))
        return cls(sde, mu, transform, eigenvalues, radius)

    def coordinates(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """(z, e): those of x - mu and eps, (B, d) each, float64.

        An outlier is drawn in to the radius: any function of x may serve as a control, and one of
        bounded distance cannot blow up the estimate. A bound on each coordinate would not do: a
        single pixel that is dead in training may be far out in hundreds of them.
        """
        z = self._position(x)
        # Held for derivatives by x: controls scaled by a constant have known means all the same.
        distance = _mahalanobis(z.detach(), self.eigenvalues)[:, None]
        z = z * (self.radius / distance.clamp(min=1e-300)).clamp(max=1.0)
        return z, self.transform(eps).double()

    def _position(self, x: Tensor) -> Tensor:
        """Coordinates of x - mu wherever it is, (B, d) float64."""
        return self.transform(x - self.mu.to(x.dtype).reshape(x.shape[1:])).double()

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
