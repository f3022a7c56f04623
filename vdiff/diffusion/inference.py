"""The general pair: a generative SDE and an inference SDE of its own (arXiv 2106.02808).

The model draws X from the prior and runs dX = mu dt + sigma dB in t = T - s. By Feynman and Kac its
density is an expectation over paths of dY = -mu ds + sigma dB from Y_0 = x (equation 11); by
Girsanov's theorem the paths may as well be those of the inference SDE, with any drift a beside:

    dY = (-mu + sigma a) ds + sigma dB,
    p(x) = E exp(R),   R = log p_0(Y_T) - int [ 1/2 ||a||^2 + div mu ] ds - int a . dB,

and by Jensen log p(x) >= E R (equation 13), with equality at a = sigma grad log p_s of the model's
own marginals. Cases: sigma = 0 is a neural ODE, and R its log density; mu = g a - f and sigma = g
leave an inference that is fixed, dY = f ds + g dB, and the plug-in reverse SDE.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vdiff.diffusion.divergence import divergence
from vdiff.diffusion.drift import Drift
from vdiff.diffusion.sde import SDE
from vdiff.diffusion.solver import check_tolerance, solve_each
from vdiff.diffusion.tensors import expand_like, sum_features


@dataclass(frozen=True)
class Pair:
    """fields: (mu, a), each like y (B, ...), at y and times s (B,); sigma: (B,) of s (B,)."""

    fields: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    sigma: Callable[[Tensor], Tensor]
    prior_log_prob: Callable[[Tensor], Tensor]
    T: float = 1.0

    def member(self, lmbd: float) -> "Pair":
        """The lambda family of the pair: mu - lmbd/2 sigma a, and sqrt(1 - lmbd) times a and sigma.

        All have the same marginals where a is exact; lmbd = 1 is the flow that is left without
        noise. For the plug-in reverse SDE it is `reverse.Reverse`.
        """
        c = math.sqrt(1 - lmbd)

        def fields(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
            mu, a = self.fields(y, s)
            return mu - lmbd / 2 * expand_like(self.sigma(s), y) * a, c * a

        return Pair(fields, lambda s: c * self.sigma(s), self.prior_log_prob, self.T)


def plug_in(sde: SDE, a: Drift) -> Pair:
    """The plug-in reverse SDE: what is left of its inference is the forward SDE."""

    def fields(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        a_y = a(y, s)
        return expand_like(sde.g(s), y) * a_y - sde.f(y, s), a_y

    return Pair(fields, sde.g, sde.prior_log_prob, sde.T)


def log_weights(
    pair: Pair, x: Tensor, times: Tensor, eps: Tensor, probes: Tensor | None = None
) -> Tensor:
    """R (B,) in nats of one path for each x (B, ...), along `times` (L + 1,), from 0 up to T.

    eps: (L, B, ...) normal noise. Steps are Heun's, of weak order 2, for sigma depends on time
    alone; the integral of ds is a trapezoid. With probes (L + 1, B, ...) of the divergence, for
    training, the integral of a . dB is Ito's sum; without them, when divergences are exact, a
    trapezoid less its mean, which Stein's identity knows: that takes the steps' own noise away.
    Where gradients are enabled they lead through the path, and probes meet the field at all its
    points at once, in products that are so many times as large.
    """
    every, sd = times.to(x), _sd(pair, times).to(x)
    h, sigma = times.diff().tolist(), pair.sigma(times).tolist()
    later = x.new_empty(0)  # divergences by probes

    def at(y: Tensor, k: int, of_a: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        s = every[k].expand(len(y))
        return _fields(pair, y, s, None, of_a) if probes is None else (*pair.fields(y, s), later)

    points, here, ahead = [x], [at(x, 0)], []
    for k, noise in enumerate(eps * expand_like(sd, eps)):
        y, (mu, a, _) = points[-1], here[-1]
        b = sigma[k] * a - mu
        ahead.append(at(y + h[k] * b + noise, k + 1, of_a=True))
        mu_z, a_z, _ = ahead[-1]
        points.append(y + h[k] / 2 * (b + sigma[k + 1] * a_z - mu_z) + noise)
        here.append(at(points[-1], k + 1))

    a = torch.stack([field[1] for field in here])
    if probes is None:
        div = torch.stack([field[2] for field in here])
        # The trapezoid has the mean of (a_z - a) . dB / 2, which is sd div a / 2 at z.
        a_z, div_z = (torch.stack([field[i] for field in ahead]) for i in (1, 2))
        dB = _sum((a[:-1] + a_z) * eps) / 2 - sd[:, None] * div_z / 2
    else:
        s = every.repeat_interleave(len(x))
        div = _fields(pair, torch.cat(points), s, probes.flatten(0, 1))[2].view(len(times), -1)
        dB = _sum(a[:-1] * eps)
    ds = torch.trapezoid(_sum(a.square()) / 2 + div, every, dim=0)
    return pair.prior_log_prob(points[-1]) - ds - (every.diff().sqrt()[:, None] * dB).sum(0)


def _sum(v: Tensor) -> Tensor:
    """Over the features of v (L, B, ...), (L, B)."""
    return sum_features(v.flatten(0, 1)).view(v.shape[:2])


def _fields(
    pair: Pair, y: Tensor, s: Tensor, probe: Tensor | None = None, of_a: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """(mu, a, the divergence (B,) of one of them)."""
    through = torch.is_grad_enabled()
    with torch.enable_grad():
        y = y if through and y.requires_grad else y.detach().requires_grad_()
        mu, a = pair.fields(y, s)
        div = divergence(a if of_a else mu, y, probe, through)
    return (mu, a, div) if through else (mu.detach(), a.detach(), div)


def _sd(pair: Pair, times: Tensor) -> Tensor:
    """Of the noise between two of the times (L + 1,), (L,)."""
    var = pair.sigma(times).square()
    return ((var[:-1] + var[1:]) / 2 * times.diff().abs()).sqrt()


@torch.no_grad()
def generate(pair: Pair, x: Tensor, times: Tensor, eps: Tensor) -> Tensor:
    """The states (L + 1, B, ...) of the generative SDE along `times` (L + 1,), from T down to 0,
    from draws x (B, ...) of the prior with normal noise eps (L, B, ...), by Heun's method."""
    states, every, h = [x], times.to(x), (-times.diff()).tolist()
    for k, noise in enumerate(eps * expand_like(_sd(pair, times).to(x), eps)):
        y = states[-1]
        mu = pair.fields(y, every[k].expand(len(y)))[0]
        ahead = pair.fields(y + h[k] * mu + noise, every[k + 1].expand(len(y)))[0]
        states.append(y + h[k] / 2 * (mu + ahead) + noise)
    return torch.stack(states)


@torch.no_grad()
def flow_log_prob(pair: Pair, x: Tensor, tolerance: float = 1e-5) -> Tensor:
    """log p(x) (B,) float64, nats, of a pair without noise, x (B, ...), by the instantaneous change
    of variables: dY = -mu ds and d log p = div mu ds, in adaptive steps for each example.

    Raises VdiffError when the solver cannot reach the tolerance.
    """
    x = x.double()
    check_tolerance(tolerance)

    def field(s: Tensor, state: Tensor, rows: Tensor) -> Tensor:
        mu, _, div = _fields(pair, state[:, :-1].reshape(-1, *x.shape[1:]), s)
        return -torch.cat([mu.flatten(1), div[:, None]], 1)

    start = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], 1)
    end, _ = solve_each(field, start, pair.T, tolerance)
    return pair.prior_log_prob(end[:, :-1].reshape(x.shape)) + end[:, -1]
