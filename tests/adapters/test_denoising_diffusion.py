"""GaussianDiffusion of denoising-diffusion-pytorch, with exact networks and with its own Unet."""

import math

import pytest
import torch
from adapters.exact import of_table
from support.oracles import assert_gaussian

package = pytest.importorskip(
    "denoising_diffusion_pytorch", reason="denoising-diffusion-pytorch is not installed"
)
from ema_pytorch import EMA  # noqa: E402

from vdiff.adapters.denoising_diffusion import PREDICTS, from_denoising_diffusion  # noqa: E402
from vdiff.diffusion.chain import Chain  # noqa: E402
from vdiff.errors import VdiffError  # noqa: E402
from vdiff.likelihood.chain import terms  # noqa: E402


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
    "is a ElucidatedDiffusion": lambda: package.ElucidatedDiffusion(
        unet(learned_sinusoidal_cond=True), image_size=8, channels=1
    ),
    "is a Unet;": unet,
}


@pytest.mark.parametrize("said", REFUSED)
def test_other_kinds_are_refused(said):
    with pytest.raises(VdiffError, match=said):
        from_denoising_diffusion(REFUSED[said]())


class Learned(torch.nn.Module):
    """Of images y0 the noise, nearly, and a variance; in the first step that is beta_1, for the
    package puts the other end, where beta~_1 is 0, at 1e-20."""

    channels, out_dim, self_condition = 1, 2, False

    def forward(self, y, t):
        t = t.long()[:, None, None, None]
        m, var = self.abar[t].sqrt(), 1 - self.abar[t]
        noise = (y - m * self.y0) / var.sqrt() + 0.2 * torch.sin(3 * y)
        return torch.cat([noise, torch.where(t == 0, 1.0, torch.cos(2 * y + t))], 1)


@pytest.mark.filterwarnings("ignore:The network gives twice as many")
def test_the_terms_of_the_chain_are_those_of_the_packages_variational_bound():
    """On the same noise, step by step: of a learned variance to 1e-4 nats per dimension, but for
    the first step's decoder, of whose law the package has an approximation. The control: steps of
    the small variance are others, as long as beta and beta~ differ."""
    weight = 1e6  # of the bound in the package's loss, beside which its squared error is nothing
    diffusion = package.LearnedGaussianDiffusion(Learned(), weight, image_size=8, timesteps=30)
    net, rng = diffusion.model.eval(), torch.Generator().manual_seed(0)
    x = torch.randint(256, (12, 1, 8, 8), generator=rng).to(torch.uint8)
    net.abar, net.y0 = diffusion.alphas_cumprod, 2 * x.float() / 255 - 1
    model = from_denoising_diffusion(diffusion, range=(-256 / 255, 256 / 255))
    a, off = model.drift(), {"small": [], "learned": []}
    for k in range(30):
        noise, at = torch.randn(net.y0.shape, generator=rng), torch.full((12,), k)
        theirs = diffusion.p_losses(net.y0, at, noise=noise, loss_reduction="none") / weight
        for variance, found in off.items():
            ours = terms(
                model, Chain.of(model.sde), a, x, model.space.value(x + 0.5), at, noise.double(),
                variance, clip=False,
            )  # fmt: skip
            found.append(float((ours / 64 - theirs * math.log(2)).abs().max()))
    assert max(off["learned"][1:]) < 1e-4
    assert off["learned"][0] < 0.01
    assert min(off["small"][1:15]) > 1e-3
