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

    def at(y: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        return _fields(pair, y, s) if probes is None else (*pair.fields(y, s), 0.0)

    y, s, R = x, _time(times, 0, x), x.new_zeros(len(x))
    points, (mu, a, div) = [y], at(y, s)
    for k, dB in enumerate(eps):
        h, ahead, sd = (
            float(times[k + 1] - times[k]),
            _time(times, k + 1, x),
            _sd(pair, times, k, x),
        )
        R = R - h / 2 * (sum_features(a.square()) / 2 + div) - math.sqrt(h) * sum_features(a * dB)
        b, noise = expand_like(pair.sigma(s), y) * a - mu, expand_like(sd, y) * dB
        z = y + h * b + noise
        if probes is None:
            mu_z, a_z, div_a = _fields(pair, z, ahead, of_a=True)
            R = R - math.sqrt(h) / 2 * (sum_features((a_z - a) * dB) - sd * div_a)
        else:
            mu_z, a_z = pair.fields(z, ahead)
        y = y + h / 2 * (b + expand_like(pair.sigma(ahead), y) * a_z - mu_z) + noise
        s = ahead
        points.append(y)
        mu, a, div = at(y, s)
        R = R - h / 2 * (sum_features(a.square()) / 2 + div)
    if probes is not None:
        every = times.to(x).repeat_interleave(len(x))
        div = _fields(pair, torch.cat(points), every, probes.flatten(0, 1))[2]
        R = R - torch.trapezoid(div.view(len(times), -1), times.to(x), dim=0)
    return R + pair.prior_log_prob(y)


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


def _time(times: Tensor, k: int, y: Tensor) -> Tensor:
    return times[k].to(y).expand(len(y))


def _sd(pair: Pair, times: Tensor, k: int, y: Tensor) -> Tensor:
    """Of the noise between two times, (B,)."""
    low, high = (pair.sigma(_time(times, i, y)).square() for i in (k, k + 1))
    return ((low + high) / 2 * abs(float(times[k + 1] - times[k]))).sqrt()


@torch.no_grad()
def generate(pair: Pair, x: Tensor, times: Tensor, eps: Tensor) -> Tensor:
    """The states (L + 1, B, ...) of the generative SDE along `times` (L + 1,), from T down to 0,
    from draws x (B, ...) of the prior with normal noise eps (L, B, ...), by Heun's method."""
    states = [x]
    for k, dB in enumerate(eps):
        y, h = states[-1], float(times[k] - times[k + 1])
        mu, noise = (
            pair.fields(y, _time(times, k, y))[0],
            expand_like(_sd(pair, times, k, y), y) * dB,
        )
        ahead, _ = pair.fields(y + h * mu + noise, _time(times, k + 1, y))
        states.append(y + h / 2 * (mu + ahead) + noise)
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
