"""The ELBO estimators against closed forms: Gaussian data, where everything is known."""

import math

import numpy as np
import pytest
import torch
from support.oracles import gaussian_drift

from vdiff.diffusion.control import efficient, fit_controls
from vdiff.diffusion.elbo import paper, stein_integrand
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.reference import GaussianReference
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.times import Uniform
from vdiff.diffusion.transforms.identity import identity


def draws(rng, n, d):
    return [torch.randn(n, d, generator=rng, dtype=torch.float64) for _ in range(3)]


def rademacher(rng, n, d):
    return torch.randint(2, (n, d), generator=rng).double() * 2 - 1


@pytest.mark.parametrize("args", [(0.1, 20, 1), (0.5, 6, 2)])
def test_elbo_is_the_likelihood_of_the_standard_normal(args, rng):
    """Data N(0, I), a = -g y: ELBO(x) = log N(x; 0, I) at every x."""
    sde, n = VPSDE(*args), 60_000
    a = gaussian_drift(sde, 1.0)
    for point in ([0.0, 0.0], [2.0, -1.0]):
        x = torch.tensor([point], dtype=torch.float64)
        X = x.expand(n, 2)
        eps, eps_T, _ = draws(rng, n, 2)
        s = Uniform(sde.T).sample(n, rng)
        elbo = paper(sde, a, X, s, eps, eps_T, rademacher(rng, n, 2)).value
        assert elbo.shape == (n,)
        error = elbo.std().item() / n**0.5
        assert abs(elbo.mean() - sde.prior_log_prob(x)).item() < 4 * error


def test_efficient_elbo_is_the_likelihood_without_noise(sde, rng):
    """With the true Gaussian as reference nothing random is left: each draw is log N(x; 0, I)."""
    n, d = 500, 3
    reference = GaussianReference(
        sde, torch.zeros(d).double(), identity, torch.ones(d).double(), math.inf
    )
    a = gaussian_drift(sde, 1.0)
    pilot, x, eps = draws(rng, n, d)
    controls = fit_controls(a, pilot, reference, rng)
    u = torch.rand(n, generator=rng, dtype=torch.float64)
    elbo = efficient(a, x, u, eps, controls).value
    assert (elbo - sde.prior_log_prob(x)).std() < 0.02
    assert (elbo - sde.prior_log_prob(x)).mean().abs() < 0.003


@pytest.mark.parametrize("variance", [0.05, 3.0])
def test_elbo_of_the_exact_drift_lies_just_below_the_likelihood(sde, variance):
    """Data N(0, v): the gap is only that Y_T is not quite N(0, 1); by quadrature over y and s."""
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    nodes, weights = torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))
    a = gaussian_drift(sde, variance)
    x = torch.tensor([[0.7]], dtype=torch.float64)
    grid = torch.linspace(1e-4, 1, 4001, dtype=torch.float64) ** 2  # dense near 0
    values = []
    for s in grid:
        n = len(nodes)
        h = stein_integrand(sde, a, x.expand(n, 1), s.expand(n), nodes[:, None])
        values.append((weights * h).sum())
    integral = torch.trapezoid(torch.stack(values), grid) + sde.minus_integral_of_div_f(1)
    elbo = (sde.expected_prior(x) - integral).item()
    log_p = -0.5 * (0.49 / variance + math.log(2 * math.pi * variance))
    assert elbo <= log_p + 1e-4
    assert elbo == pytest.approx(log_p, abs=0.01)


def test_both_estimators_have_the_same_mean(sde, rng):
    """A wrong drift on a mixture: equal means, though the reference is not the data's law."""
    means = torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]], dtype=torch.float64)
    mixture = Mixture(sde, means, 0.04)
    a = lambda y, s: 0.8 * mixture.a(y, s) + 0.3 * torch.sin(y)  # noqa: E731
    n = 100_000
    pilot = mixture.sample(2048, rng)
    controls = fit_controls(a, pilot, GaussianReference.fit(sde, mixture.sample(2000, rng)), rng)
    x = mixture.sample(n, rng)
    eps, eps_T, eps2 = draws(rng, n, 2)
    s = Uniform(sde.T).sample(n, rng)
    first = paper(sde, a, x, s, eps, eps_T, rademacher(rng, n, 2)).value
    second = efficient(a, x, torch.rand(n, generator=rng).double(), eps2, controls).value
    error = math.sqrt((first.var() + second.var()).item() / n)
    assert abs(first.mean() - second.mean()).item() < 4 * error
    assert second.var() < first.var() / 5


def test_expected_prior_is_the_mean_of_the_sampled_one(sde, rng):
    sde = VPSDE(0.1, 2, 1)  # short enough that Y_T still remembers x
    x = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    eps = torch.randn(100_000, 2, generator=rng, dtype=torch.float64)
    T = torch.ones(len(eps), dtype=torch.float64)
    sampled = sde.prior_log_prob(sde.perturb(x.expand(len(eps), 2), T, eps))
    assert abs(sampled.mean() - sde.expected_prior(x)).item() < 4 * sampled.std() / len(eps) ** 0.5
    assert sde.minus_integral_of_div_f(2) == pytest.approx(-2 * (-(0.1 + 2) / 2 / 2))


def mass_of_the_bound(sde, mixture, a, squares=1.0):
    """The integral of exp(bound) over the plane, the bound by `paper` without chance: nodes of
    Gauss and Hermite for eps, midpoints in sqrt(s), two probes that give the trace."""
    axis = torch.linspace(-4.2, 4.2, 29, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    node, weight = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(5))
    nodes, weights = torch.cartesian_prod(node, node), torch.outer(weight, weight).flatten()
    u = (torch.arange(24, dtype=torch.float64) + 0.5) / 24
    bound = sde.expected_prior(x)
    for one in u:
        s = (sde.T * one.square()).expand(len(x))
        for eps, w in zip(nodes, weights / weights.sum(), strict=True):
            eps = eps.expand_as(x)
            for probe in (torch.ones_like(x), torch.ones_like(x) * torch.tensor([1.0, -1.0])):
                found = paper(sde, a, x, s, eps, eps, probe).integral
                bound = bound - w * one * found / len(u)  # ds = 2 u du, half of it a probe
            if squares != 1:
                square = a(sde.perturb(x, s, eps), s).square().sum(1) / 2
                bound = bound - w * 2 * one * sde.T * (squares - 1) * square / len(u)
    return float(bound.exp().sum() * (axis[1] - axis[0]) ** 2)


def test_no_more_than_one_is_under_the_bound(sde):
    """exp(bound) is at most the model's density, so at most 1 over the plane: 1 at the true drift
    and less at one that is 20% too small and turned. Half of the square, the control, exceeds 1."""
    means = torch.tensor([[1.2, 0.0], [-0.8, 1.0], [0.0, -1.2]], dtype=torch.float64)
    mixture = Mixture(sde, means, 0.2)
    turn = torch.tensor([[0.8, 0.1], [-0.1, 0.8]], dtype=torch.float64)

    def wrong(y, s):
        return mixture.a(y, s) @ turn

    assert mass_of_the_bound(sde, mixture, mixture.a) == pytest.approx(1, abs=0.01)
    assert 0.5 < mass_of_the_bound(sde, mixture, wrong) < 0.98
    assert mass_of_the_bound(sde, mixture, wrong, squares=0.5) > 1.1
