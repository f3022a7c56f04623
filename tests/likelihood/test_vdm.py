"""VDM's bound: on a lattice, where an exact network leaves no gap but the decoder's and prior's."""

import numpy as np
import pytest
import torch
from support.lattice import CENTRES, LEVELS, SHAPE, P, denoised, examples, grid

import vdiff
from vdiff.diffusion.control import ControlVariates
from vdiff.diffusion.sdes.table import TableSDE, linear
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.likelihood.vdm import above, known, least

SDES = {"vp": VPSDE(), "ddpm": TableSDE(linear(40, 0.01, 0.07))}


def wrapped(name, s_min, **keys):
    sde = SDES[name]

    def net(y, s):
        s = s.double()[:, None]
        return denoised(y.double().flatten(1), sde.m(s), sde.sigma(s)).reshape(-1, *SHAPE)

    return vdiff.wrap(
        net, schedule=sde, predicts="x0", data=SHAPE, levels=LEVELS, s_min=0.002, ends_at=s_min,
        time=lambda s: s, check=False, **keys,
    )  # fmt: skip


def parts(name, s_min):
    """Of each point (16,) nats: log P(x), the decoder's mean less that of the true posterior of x
    given z_0, and what of the end the prior does not know, E log p(z_T) - E log q(z_T), and
    E[log p(x | z_0)] by quadrature. The bound of an exact network is the sum of the first three."""
    sde, (eps, weight) = SDES[name], grid(6, 0.08)
    found = []
    for k, x in enumerate(CENTRES):

        def of(s, x=x):
            m, sigma = (f(torch.tensor(s, dtype=torch.float64)) for f in (sde.m, sde.sigma))
            z = m * x + sigma * eps
            return z, -(z[:, None] - m * CENTRES).square().sum(2) / (2 * sigma**2), sigma

        _, log_q, _ = of(s_min)
        decoder = weight @ torch.log_softmax(log_q, 1)[:, k]
        posterior = weight @ torch.log_softmax(log_q + P.log(), 1)[:, k]
        z, log_q, sigma = of(sde.T)
        at_T = torch.logsumexp(log_q + P.log(), 1) - 2 * sigma.log()
        end = weight @ (-z.square().sum(1) / 2 - at_T)
        found.append(torch.stack([P[k].log(), decoder - posterior, end, decoder]))
    return torch.stack(found, 1).numpy()


@pytest.mark.parametrize(("name", "s_min"), [("vp", 0.01), ("vp", 0.05), ("ddpm", 0.025)])
def test_an_exact_network_has_the_bound_that_is_known(name, s_min):
    """Within 4 errors, where 0.01 nats per dimension would be found with 80% power, and errors of
    single examples cover. The controls: without the decoder, or with the posterior instead of it
    (at a least noise where either counts), and without the prior's term where the end has
    signal."""
    model, n = wrapped(name, s_min), 400
    model.fit(examples(1024, torch.Generator().manual_seed(1)))
    found = model.log_prob(examples(n), method="vdm", draws=64, batch_size=20_000)
    value, error = (v.reshape(16, n) for v in (found.value, found.error))

    def chi2(truth):
        off = value - truth[:, None]
        each = off.std(1) / n**0.5
        assert 2.8 * np.sqrt(np.square(each).mean() / 16) < 2 * 0.01
        return np.square(off.mean(1) / each).sum()

    log_P, posterior, end, decoder = parts(name, s_min)
    truth = log_P + posterior + end
    assert chi2(truth) < 40
    wrong = [truth - 2 * 0.05]
    wrong += [truth - decoder, log_P + end] * (s_min == 0.05)
    wrong += [truth - end] * (name == "ddpm")
    for other in wrong:
        assert chi2(other) > 60
    assert 0.93 <= np.mean(np.abs(value - truth[:, None]) <= 1.96 * error) <= 0.975
    assert found.method == "vdm" and found.fitted_on == "1024 examples"


def test_the_controls_are_cut_where_the_integral_ends():
    """By those of a fit and of a guess, the mean is the known one; by those of the whole integral
    it is another."""
    model, x = wrapped("vp", 0.05), examples(100)
    model.fit(examples(1024, torch.Generator().manual_seed(1)))
    own = model._at_centres()
    guess = ControlVariates.without_data(model.sde, 2, *model.space.guess, model.eps_t)
    log_P, posterior, end, _ = parts("vp", 0.05)
    truth = np.repeat(log_P + posterior + end, 100) - known(own, 0.05, x).numpy()

    def far(controls):
        off = own._bounds(controls, x, None, 64, 20_000, 0, False).mean(1) - truth
        return abs(off.mean()) / off.std() * 40

    for controls in (own.controls, guess):
        cut, ends = above(controls, 0.05), torch.tensor([0.05, 1.0], dtype=torch.float64)
        assert cut.base.cdf(ends).tolist() == [0, 1]
        assert cut.law.density(torch.tensor([0.04, 0.06])).sign().tolist() == [0, 1]
        assert far(cut) < 4
        assert far(controls) > 10


def test_it_ends_where_vdm_does():
    """At a log SNR of 13.3 for 256 levels in [-1, 1], or at the least noise of training; and says
    it."""
    keys = {"predicts": "score", "data": (1, 1, 1), "check": False}
    vp = vdiff.wrap(lambda y, s: -y, schedule="vp", **keys)
    s_0 = torch.tensor(least(vp), dtype=torch.float64)
    assert -float(vp.sde.log_nsr(s_0)) == pytest.approx(13.3, abs=0.05)
    table = vdiff.wrap(lambda y, s: -y, schedule="ddpm-linear", **keys)
    assert least(table) == 1e-3
    x = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
    found = vp.log_prob(x, method="vdm", draws=4)
    assert found.ends_at == pytest.approx(2 / 256 / 6, rel=1e-6)
    assert "to sigma / m = 0.0013" in repr(found)
