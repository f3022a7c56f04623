"""Schedulers of MONAI with exact networks, and its own network."""

import pytest
import torch
from adapters.exact import of_table
from support.oracles import assert_gaussian

nets = pytest.importorskip("monai.networks.nets", reason="monai is not installed")

from monai.networks import schedulers  # noqa: E402

from vdiff.adapters.monai import PREDICTS, from_monai  # noqa: E402
from vdiff.errors import VdiffError  # noqa: E402


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
