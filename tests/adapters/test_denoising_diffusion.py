"""GaussianDiffusion of denoising-diffusion-pytorch, with exact networks and with its own Unet."""

import pytest
import torch
from adapters.exact import of_table
from support.oracles import assert_gaussian

package = pytest.importorskip(
    "denoising_diffusion_pytorch", reason="denoising-diffusion-pytorch is not installed"
)
from ema_pytorch import EMA  # noqa: E402

from vdiff.adapters.denoising_diffusion import PREDICTS, from_denoising_diffusion  # noqa: E402
from vdiff.errors import VdiffError  # noqa: E402


class Exact(torch.nn.Module):
    """What the package asks of a network, and the table and prediction that it is exact for."""

    channels = out_dim = 1
    self_condition = False

    def forward(self, y, t):
        return of_table(self.abar, self.predicts)(y, t)


def unet(**more):
    torch.manual_seed(0)  # the package draws weights from the global state
    return package.Unet(8, dim_mults=(1, 2), channels=1, **more)


@pytest.mark.parametrize("schedule", ["sigmoid", "linear", "cosine"])
@pytest.mark.parametrize("objective", PREDICTS)
def test_an_exact_network_has_the_true_density(objective, schedule, rng):
    diffusion = package.GaussianDiffusion(
        Exact(), image_size=2, objective=objective, beta_schedule=schedule
    )
    diffusion.model.abar, diffusion.model.predicts = diffusion.alphas_cumprod, PREDICTS[objective]
    assert_gaussian(from_denoising_diffusion(diffusion, levels=None), (1, 2, 2), rng)


@pytest.mark.parametrize(("normalises", "ends"), [(True, (-1, 1)), (False, (0, 1))])
def test_images_are_in_the_range_that_the_package_maps_them_to(normalises, ends):
    diffusion = package.GaussianDiffusion(unet(), image_size=8, auto_normalize=normalises)
    space = from_denoising_diffusion(diffusion).space
    assert (space.low, space.high) == ends and space.shape == (1, 8, 8)


def test_an_average_has_the_averaged_weights_and_is_left_as_it_was():
    diffusion = package.GaussianDiffusion(unet(), image_size=8)
    average = EMA(diffusion)
    y, s = torch.ones(2, 1, 8, 8), torch.tensor([0.3, 0.7])
    before = from_denoising_diffusion(diffusion).score(y, s)
    with torch.no_grad():
        for p in diffusion.parameters():
            p.mul_(1.5)
    assert torch.equal(from_denoising_diffusion(average).score(y, s), before)
    assert not torch.equal(from_denoising_diffusion(diffusion).score(y, s), before)
    assert diffusion.training and all(p.requires_grad for p in diffusion.parameters())


REFUSED = {
    "self_condition is True": lambda: package.GaussianDiffusion(
        unet(self_condition=True), image_size=8
    ),
    "immiscible is True": lambda: package.GaussianDiffusion(unet(), image_size=8, immiscible=True),
    "2 output channels for 1": lambda: package.LearnedGaussianDiffusion(
        unet(learned_variance=True), image_size=8
    ),
    "is a ElucidatedDiffusion": lambda: package.ElucidatedDiffusion(
        unet(learned_sinusoidal_cond=True), image_size=8, channels=1
    ),
    "is a Unet;": unet,
}


@pytest.mark.parametrize("said", REFUSED)
def test_other_kinds_are_refused(said):
    with pytest.raises(VdiffError, match=said):
        from_denoising_diffusion(REFUSED[said]())
