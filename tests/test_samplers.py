import pytest
import torch
from oracles import gaussian_drift

from vdiff.errors import VdiffError
from vdiff.reverse import Reverse, drift_of
from vdiff.samplers import (
    euler_maruyama,
    noise_of,
    noise_per_sample,
    uniform_grid,
)

LMBDS = [-10, -0.99, -0.9, -0.5, 0, 0.5, 0.9, 0.99, 1]


@pytest.mark.parametrize("lmbd", LMBDS)
def test_sampled_variance_is_the_datas_for_every_lmbd(sde, rng, lmbd):
    """Data N(0, v I) with the exact drift; the mean over all coordinates has error sqrt(2/n) v."""
    variance, n = 0.5, 4000
    x = torch.randn(n, 4, generator=rng, dtype=torch.float64)
    reverse = Reverse(sde, gaussian_drift(sde, variance), lmbd)
    x = euler_maruyama(reverse, x, uniform_grid(sde, 1000), noise_of(rng))
    assert x.mean().abs() < 4 * (variance / x.numel()) ** 0.5
    assert x.var().item() == pytest.approx(
        variance, abs=4 * variance * (2 / x.numel()) ** 0.5 + 0.01
    )


def test_every_step_is_reported_once(sde, rng):
    seen = []
    x = torch.zeros(3, 2)
    end = euler_maruyama(
        Reverse(sde, gaussian_drift(sde, 1)), x, uniform_grid(sde, 7), noise_of(rng),
        lambda i, x: seen.append((i, x)),
    )  # fmt: skip
    assert [i for i, _ in seen] == list(range(1, 8))
    assert torch.equal(seen[-1][1], end)
    assert end.dtype == torch.float64


def test_a_sample_does_not_depend_on_its_batch(sde):
    def run(index):
        x = torch.ones(len(index), 2)
        reverse = Reverse(sde, gaussian_drift(sde, 1))
        return euler_maruyama(reverse, x, uniform_grid(sde, 5), noise_per_sample(index, "k"))

    assert torch.equal(run([0, 1, 2, 3])[2:], run([2, 3]))


def test_bad_input_is_refused_in_one_sentence(sde, rng):
    with pytest.raises(VdiffError, match=r"lmbd is 1.5; it must be"):
        Reverse(sde, gaussian_drift(sde, 1), 1.5)
    with pytest.raises(VdiffError, match="steps is 0"):
        uniform_grid(sde, 0)
    with pytest.raises(VdiffError, match="parameterisation is 'noise'"):
        drift_of(gaussian_drift(sde, 1), sde, "noise")
    bad = Reverse(sde, lambda y, s: y * (float("nan") if s[0] < 0.5 else 1.0))
    with pytest.raises(VdiffError, match="not finite after step 7"):
        euler_maruyama(bad, torch.ones(1, 2), uniform_grid(sde, 10), noise_of(rng))


def test_score_parameterisation_is_a_over_g(sde, rng):
    y, s = torch.randn(5, 2, generator=rng), torch.rand(5, generator=rng)
    a = gaussian_drift(sde, 0.3)
    score = lambda y, s: a(y, s) / sde.g(s)[:, None]  # noqa: E731
    assert torch.allclose(drift_of(score, sde, "score")(y, s), a(y, s))
