"""Denoisers of k-diffusion around exact networks."""

from types import SimpleNamespace

import pytest
import torch
from adapters.exact import of_table
from support.oracles import assert_gaussian, gaussian_x0

from vdiff.adapters.k_diffusion import from_k_diffusion
from vdiff.diffusion.sdes.table import linear
from vdiff.errors import VdiffError

package = pytest.importorskip("k_diffusion", reason="k-diffusion is not installed")

ABAR = torch.tensor(linear())


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_a_denoiser_has_the_true_density(sigma_data, rng):
    def inner(y, sigma):
        sigma = sigma.double()[:, None]
        total = sigma**2 + sigma_data**2
        x = y * total.sqrt()
        out = gaussian_x0(x, 1.0, sigma) - sigma_data**2 / total * x
        return (out * total.sqrt() / (sigma * sigma_data)).to(y)

    denoiser = package.layers.Denoiser(inner, sigma_data=sigma_data)
    model = from_k_diffusion(denoiser, data=(4,), sigma_min=0.01, sigma_max=80)
    assert_gaussian(model, (4,), rng)


@pytest.mark.parametrize("kind", ["DiscreteEpsDDPMDenoiser", "DiscreteVDDPMDenoiser"])
def test_a_wrapper_of_a_table_knows_its_noise_levels(kind, rng):
    net = of_table(ABAR, "noise" if "Eps" in kind else "v")
    wrapper = getattr(package.external, kind)(net, ABAR.float(), quantize=False)
    assert_gaussian(from_k_diffusion(wrapper, data=(4,)), (4,), rng)


def test_openais_networks_with_learned_variances_are_taken(rng):
    def net(y, t):
        return of_table(ABAR, "noise")(y, t).repeat(1, 2, 1, 1)

    diffusion = SimpleNamespace(alphas_cumprod=ABAR.numpy())
    wrapper = package.external.OpenAIDenoiser(net, diffusion)
    assert_gaussian(from_k_diffusion(wrapper, data=(1, 2, 2), levels=None), (1, 2, 2), rng)


def test_what_says_no_noise_levels_or_rounds_them_is_refused():
    with pytest.raises(VdiffError, match="give sigma_min and sigma_max"):
        from_k_diffusion(package.layers.Denoiser(lambda y, s: y), data=(4,), sigma_max=80)
    rounds = package.external.DiscreteEpsDDPMDenoiser(lambda y, t: y, ABAR.float(), quantize=True)
    with pytest.raises(VdiffError, match="quantize is True"):
        from_k_diffusion(rounds, data=(4,))
