import numpy as np
import pytest
import torch
from scipy import integrate, stats

from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.times import Debiased, Histogram, Uniform, stratified
from vdiff.errors import VdiffError

LAWS = [
    Debiased(VPSDE(), 1e-3),
    Debiased(VPSDE(0.5, 5, 2), 0.02),
    Debiased(VPSDE(1, 1, 0.7), 1e-4),
    Debiased(VPSDE(), 1e-3, tail=0.5),
    Debiased(VPSDE(), 0.02, tail=0.8, s_0=1e-3),
    Debiased(VPSDE(), 1e-3, s_0=0.05),
    Uniform(0.7),
    Histogram(
        Debiased(VPSDE(), 1e-3, tail=0.5), torch.tensor([3.0, 1.0, 0.5, 2.0], dtype=torch.float64)
    ),
]


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("law", LAWS)
def test_density_cdf_and_icdf_agree_with_quadrature(law):
    T = law.icdf(f64(1.0)).item()
    for u in (0.003, 0.05, 0.3, 0.62, 0.9, 1.0):
        s = law.icdf(f64(u))
        assert law.cdf(s).item() == pytest.approx(u, rel=1e-9)
        # In log s, where the density is smooth down to the far end of the tail.
        breaks = np.log([v for v in (1e-4, 1e-3, 0.02) if v < s.item()])
        marks = [*breaks, *np.log(law.icdf(f64(0.25, 0.5, 0.75)).numpy())]
        marks = sorted(v for v in marks if v < np.log(s.item()))
        mass = sum(
            integrate.quad(lambda v: law.density(f64(np.exp(v))).item() * np.exp(v), a, b)[0]
            for a, b in zip([-40, *marks], [*marks, np.log(s.item())], strict=True)
        )
        assert mass == pytest.approx(u, rel=1e-5)
    assert law.density(f64(-0.1, T + 0.1)).abs().sum() == 0


@pytest.mark.parametrize("law", LAWS)
def test_samples_follow_the_cdf(law, rng):
    s = law.sample(20_000, rng)
    assert stats.kstest(s.numpy(), lambda v: law.cdf(torch.from_numpy(v)).numpy()).pvalue > 1e-3


def test_debiased_normaliser_is_the_published_one():
    law = Debiased(VPSDE(), 1e-3)
    assert law.normaliser == pytest.approx(20.26, abs=0.005)
    assert law.cdf(f64(1e-3, 0.01, 0.1)).tolist() == pytest.approx([0.054, 0.197, 0.397], abs=6e-4)


@pytest.mark.parametrize("sde", [VPSDE(), VPSDE(0.5, 5, 2)])
def test_normaliser_matches_quadrature(sde):
    law = Debiased(sde, 0.01)

    def weight(s):
        return law.unnormalized(f64(s)).item()

    expected = integrate.quad(weight, 0, 0.01)[0] + integrate.quad(weight, 0.01, sde.T)[0]
    assert law.normaliser == pytest.approx(expected, rel=1e-6)


def test_debiased_law_is_uniform_in_log_snr(sde):
    law = Debiased(sde, 1e-3)
    s = law.icdf(torch.linspace(0.06, 1, 50, dtype=torch.float64))
    steps = sde.log_nsr(s).diff()
    assert torch.allclose(steps, steps.mean().expand_as(steps), rtol=1e-9)


def test_stratified_has_one_time_a_stratum(rng):
    u = stratified(64, rng)
    assert sorted((u * 64).long().tolist()) == list(range(64))
    many = torch.stack([stratified(4, rng) for _ in range(4000)])
    assert stats.kstest(many[:, 0].numpy(), "uniform").pvalue > 1e-3  # each entry alone is uniform


@pytest.mark.parametrize(
    ("eps_t", "tail", "name"), [(0, 0, "eps_t"), (1, 0, "eps_t"), (0.1, 1, "tail")]
)
def test_impossible_laws_are_refused(sde, eps_t, tail, name):
    with pytest.raises(VdiffError, match=name):
        Debiased(sde, eps_t, tail)
