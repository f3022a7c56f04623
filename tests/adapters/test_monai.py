"""Schedulers of MONAI with exact networks, and its own network."""

import pytest
import torch
from adapters.exact import of_table
from support.oracles import assert_gaussian

nets = pytest.importorskip("monai.networks.nets", reason="monai is not installed")

from monai.inferers import DiffusionInferer  # noqa: E402
from monai.networks import schedulers  # noqa: E402

from vdiff.adapters.monai import PREDICTS, from_monai  # noqa: E402
from vdiff.diffusion.chain import Chain  # noqa: E402
from vdiff.errors import VdiffError  # noqa: E402
from vdiff.likelihood.chain import terms  # noqa: E402


@pytest.mark.parametrize("prediction", PREDICTS)
@pytest.mark.parametrize("kind", ["DDPMScheduler", "DDIMScheduler"])
def test_an_exact_network_has_the_true_density(kind, prediction, rng):
    scheduler = getattr(schedulers, kind)(prediction_type=prediction)
    net = of_table(scheduler.alphas_cumprod, PREDICTS[prediction])
    assert_gaussian(from_monai(net, scheduler, data=(4,)), (4,), rng)


@pytest.mark.parametrize("kind", ["images", "volumes", "classes", "context"])
def test_the_packages_network_is_taken_and_left_as_it_was(kind, rng):
    torch.manual_seed(0)
    more = {
        "images": {}, "volumes": {}, "classes": {"num_class_embeds": 10},
        "context": {"with_conditioning": True, "cross_attention_dim": 4},
    }[kind]  # fmt: skip
    unet = nets.DiffusionModelUNet(
        spatial_dims=3 if kind == "volumes" else 2, in_channels=1, out_channels=1,
        num_res_blocks=1, channels=(8, 8), attention_levels=(False, kind == "context"),
        norm_num_groups=4, num_head_channels=8, **more,
    )  # fmt: skip
    for p in unet.parameters():  # many start at 0, so that no condition would be seen
        torch.nn.init.normal_(p, std=0.3)
    shape = (1, 4, 4, 4) if kind == "volumes" else (1, 8, 8)
    condition = {
        "classes": (torch.arange(4),), "context": (torch.randn(4, 3, 4, generator=rng),)
    }.get(kind, ())  # fmt: skip
    model = from_monai(unet, schedulers.DDPMScheduler(), data=shape, range=(0, 1), check=False)
    y = torch.randn(4, *shape, generator=rng)
    found = model.score(y, torch.full((4,), 0.5), *condition)
    assert torch.isfinite(found).all()
    if condition:
        named = {"class_labels" if kind == "classes" else kind: condition[0]}
        assert torch.equal(model.score(y, torch.full((4,), 0.5), named), found)
        assert (found != model.score(y, torch.full((4,), 0.5), condition[0].flip(0))).any()
    assert unet.training and all(p.requires_grad for p in unet.parameters())


def test_schedulers_of_another_kind_are_refused():
    with pytest.raises(VdiffError, match="is a RFlowScheduler; it must have the table"):
        from_monai(lambda y, t: y, schedulers.RFlowScheduler(), data=(4,))


@pytest.mark.parametrize("variance", ["small", "large"])
def test_what_the_packages_likelihood_is_beside_the_chain(variance, rng):
    """Its `get_likelihood` on the same noise, step by step and by image: of the small variance the
    same divergences to 1e-4 nats per dimension, and a first step of variance 1e-20, which costs 20
    nats and more; of the large one divergences from another posterior, so that they come to a
    fourth of what they are. No number has the prior's term."""
    scheduler = schedulers.DDPMScheduler(
        num_train_timesteps=30, beta_start=0.01, beta_end=0.2, clip_sample=False,
        variance_type=f"fixed_{variance}",
    )  # fmt: skip
    x = torch.randint(256, (4, 1, 8, 8), generator=rng).to(torch.uint8)
    abar, y = scheduler.alphas_cumprod, 2 * x.float() / 255 - 1

    class Net(torch.nn.Module):
        def forward(self, x, timesteps, context=None):
            m = abar[timesteps.long()][:, None, None, None].sqrt()
            return (x - m * y) / (1 - m**2).sqrt() + 0.2 * torch.sin(3 * x)

    noise = torch.randn(y.shape, generator=rng)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "randn_like", lambda v: noise)
        theirs, parts = DiffusionInferer(scheduler).get_likelihood(
            y, Net(), save_intermediates=True, verbose=False, original_input_range=(0, 255),
            scaled_input_range=(-1, 1),
        )  # fmt: skip
    each = torch.stack(parts[::-1]).flatten(2).mean(2)  # (30, 4) nats per dimension
    assert torch.allclose(each.sum(0), theirs)
    ends = {"range": (-256 / 255, 256 / 255), "check": False}
    model = from_monai(Net(), scheduler, data=(1, 8, 8), **ends)
    chain, a, at = Chain.of(model.sde), model.drift(), model.space.value(x + 0.5)
    ours = torch.stack(
        [
            terms(model, chain, a, x, at, torch.full((4,), k), noise.double(), variance, clip=False)
            for k in range(30)
        ]
    )
    ours = ours / 64
    if variance == "small":
        assert (each - ours)[1:].abs().max() < 1e-4
        assert each[0].min() > 20 > 5 > ours[0].max()
    else:
        assert (each - ours)[0].abs().max() < 0.5
        assert (each[1:].sum(0) < ours[1:].sum(0) / 4).all()
