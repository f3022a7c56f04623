"""Networks and schedulers of diffusers, made small, saved and loaded by its own means."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vdiff.errors import VdiffError

diffusers = pytest.importorskip("diffusers", reason="the extra models is not installed")

from vdiff.adapters.diffusers import from_diffusers, from_folder  # noqa: E402

SMALL = {
    "sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2,
    "layers_per_block": 1, "norm_num_groups": 4,
}  # fmt: skip
SCHEDULERS = {
    "ddpm": lambda: diffusers.DDPMScheduler(),
    "ddim, v": lambda: diffusers.DDIMScheduler(prediction_type="v_prediction"),
    "ddpm, x0, cosine": lambda: diffusers.DDPMScheduler(
        prediction_type="sample", beta_schedule="squaredcos_cap_v2"
    ),
    "ddim, zero snr": lambda: diffusers.DDIMScheduler(rescale_betas_zero_snr=True),
    "edm": lambda: diffusers.EDMEulerScheduler(),
    "flow": lambda: diffusers.FlowMatchEulerDiscreteScheduler(),
    "flow, shift 3": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    **{
        name: lambda kind=kind: getattr(diffusers, kind)(rescale_betas_zero_snr=True)
        for name, kind in {
            "euler, zero snr": "EulerDiscreteScheduler",
            "euler ancestral, zero snr": "EulerAncestralDiscreteScheduler",
            "dpm++, zero snr": "DPMSolverMultistepScheduler",
            "unipc, zero snr": "UniPCMultistepScheduler",
        }.items()
    },
}


class Gaussian(torch.nn.Module):
    """What diffusers' networks are to us, for data N(0, v) on each of 4 pixels: the exact denoiser
    in the scheduler's own terms, written in those of diffusers' documentation."""

    V = 0.3

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler, self.weight = scheduler, torch.nn.Parameter(torch.zeros(()))
        self.config = diffusers.configuration_utils.FrozenDict(sample_size=2, in_channels=1)

    def forward(self, y, t):
        config = self.scheduler.config
        t = t.double().reshape(-1, 1, 1, 1)
        if "sigma_data" in config:  # t is a quarter of log sigma, y is scaled by c_in
            sigma, d = torch.exp(4 * t), config.sigma_data
            total = sigma**2 + d**2
            x = y * total.sqrt()
            x0 = self.V / (self.V + sigma**2) * x
            out = (x0 - d**2 / total * x) / (sigma * d / total.sqrt())
        elif "FlowMatch" in type(self.scheduler).__name__:
            s = t / config.num_train_timesteps
            x0 = (1 - s) * self.V / ((1 - s) ** 2 * self.V + s**2) * y
            out = (y - x0) / s  # noise less data
        else:
            abar = self.scheduler.alphas_cumprod.double()
            k = t.floor().long().clamp(max=len(abar) - 2)
            nsr = torch.log((1 - abar) / abar.clamp(min=1e-300))
            gamma = nsr[k] + (t - k) * (nsr[k + 1] - nsr[k])
            a, var = torch.sigmoid(-gamma), torch.sigmoid(gamma)
            x0 = a.sqrt() * self.V / (a * self.V + var) * y
            eps = (y - a.sqrt() * x0) / var.sqrt()
            out = {"epsilon": eps, "sample": x0, "v_prediction": a.sqrt() * eps - var.sqrt() * x0}[
                config.prediction_type
            ]
        return SimpleNamespace(sample=out.float())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_an_exact_network_of_every_scheduler_has_the_true_density(name, rng):
    """0.01 nats per dimension would be found with 80% power."""
    scheduler = SCHEDULERS[name]()
    x = Gaussian.V**0.5 * torch.randn(2000, 1, 2, 2, generator=rng)
    truth = torch.distributions.Normal(0, Gaussian.V**0.5).log_prob(x).flatten(1).sum(1)
    found = from_diffusers(Gaussian(scheduler), scheduler, levels=None).log_prob(
        x, draws=8, batch_size=4096
    )
    off = found.value - truth.numpy()
    error = off.std() / len(x) ** 0.5
    assert 2.8 * error < 4 * 0.01
    assert abs(off.mean()) < 4 * error + 4 * 0.003


@pytest.mark.parametrize("name", ["ddpm", "edm", "flow"])
def test_a_folder_that_diffusers_wrote_is_read(name, tmp_path, rng):
    torch.manual_seed(0)  # diffusers draws weights from the global state
    unet, scheduler = diffusers.UNet2DModel(**SMALL), SCHEDULERS[name]()
    unet.save_pretrained(tmp_path / "unet")
    scheduler.save_pretrained(tmp_path / "scheduler")
    x = torch.randint(16, (64, 1, 8, 8), generator=rng).to(torch.uint8)
    keys = {"levels": 16, "check": False}
    models = from_diffusers(unet, scheduler, **keys), from_folder(tmp_path, **keys)
    one, two = (model.log_prob(x, draws=2) for model in models)
    assert np.array_equal(one.value, two.value)
    assert np.isfinite(one.value).all()
    assert models[1].sample(2, steps=3).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_shift_of_flow_matching_changes_which_steps_not_what_a_time_means(shift):
    """The scheduler's own noise at the time that it tells a network is that time / 1000."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    times = scheduler.timesteps[[100, 500, 900]]
    noisy = scheduler.scale_noise(torch.zeros(3, 1), times, torch.ones(3, 1))
    assert torch.allclose(noisy[:, 0], times / 1000)
    assert (float(scheduler.timesteps[500]) == 500) == (shift == 1)


@pytest.fixture
def pair():
    torch.manual_seed(0)  # diffusers draws weights from the global state
    return diffusers.UNet2DModel(**SMALL).eval(), diffusers.DDPMScheduler()


def said(model):
    """The score at given vectors and times, which tells one network from another."""
    y = torch.linspace(-1, 1, 4 * 64).reshape(4, 1, 8, 8)
    return model.score(y, torch.tensor([0.1, 0.3, 0.6, 0.9]))


KEYS = {"levels": 16, "check": False}
LAYOUTS = {
    "all at the root": lambda unet, to: unet.save_pretrained(to),
    "in unet": lambda unet, to: unet.save_pretrained(to / "unet"),
    "a pickle": lambda unet, to: unet.save_pretrained(to, safe_serialization=False),
    "half precision": lambda unet, to: unet.save_pretrained(to / "unet", variant="fp16"),
    "in shards": lambda unet, to: unet.save_pretrained(to, max_shard_size="5KB"),
}


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_as_they_are_published_are_read(layout, index, pair, tmp_path):
    unet, scheduler = pair
    expected = said(from_diffusers(unet, scheduler, **KEYS))
    LAYOUTS[layout](unet, tmp_path)
    scheduler.save_pretrained(tmp_path / "scheduler" if index else tmp_path)
    if index:
        parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
        about = {"_class_name": "DDPMPipeline", "_diffusers_version": "0.42.1", **parts}
        (tmp_path / "model_index.json").write_text(json.dumps(about))
    assert torch.equal(said(from_folder(tmp_path, **KEYS)), expected)


def test_weights_in_half_precision_are_read(pair, tmp_path):
    unet, scheduler = pair
    unet.half().save_pretrained(tmp_path, variant="fp16")
    scheduler.save_pretrained(tmp_path)
    expected = said(from_diffusers(unet.float(), scheduler, **KEYS))
    assert torch.equal(said(from_folder(tmp_path, **KEYS)), expected)


@pytest.mark.parametrize("kind", ["DDPMPipeline", "DDIMPipeline"])
def test_a_pipeline_is_taken_apart(kind, pair):
    pipeline = getattr(diffusers, kind)(*pair)
    expected = said(from_diffusers(pipeline.unet, pipeline.scheduler, **KEYS))
    assert torch.equal(said(from_diffusers(pipeline, **KEYS)), expected)


def test_averaged_weights_beside_the_others_are_named_and_can_be_asked_for(pair, tmp_path):
    unet, scheduler = pair
    scheduler.save_pretrained(tmp_path)
    unet.save_pretrained(tmp_path / "unet_ema")
    expected = said(from_diffusers(unet, scheduler, **KEYS))
    with pytest.raises(VdiffError, match="give unet='unet_ema'"):
        from_folder(tmp_path)
    diffusers.UNet2DModel(**SMALL).save_pretrained(tmp_path / "unet")
    with pytest.warns(UserWarning, match="has unet_ema beside the weights that are taken"):
        other = said(from_folder(tmp_path, **KEYS))
    assert not torch.equal(other, expected)
    averaged = from_folder(tmp_path, unet="unet_ema", **KEYS)
    assert torch.equal(said(averaged), expected)


LAST = "conv_norm_out.weight"
DAMAGE = {
    f"they lack {LAST}": lambda w: {k: v for k, v in w.items() if k != LAST},
    "they have more other": lambda w: {**w, "other": torch.ones(2)},
    f"they have in another shape {LAST}": lambda w: {**w, LAST: torch.ones(2)},
    "named module.": lambda w: {f"module.{k}": v for k, v in w.items()},
    "named _orig_mod.": lambda w: {f"_orig_mod.{k}": v for k, v in w.items()},
}


@pytest.mark.parametrize("words", DAMAGE)
def test_weights_that_are_not_all_of_the_networks_are_refused(words, pair, tmp_path):
    unet, scheduler = pair
    unet.save_pretrained(tmp_path)
    scheduler.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file(DAMAGE[words](load_file(file)), file)
    with pytest.raises(VdiffError, match=words):
        from_folder(tmp_path)


def test_a_choice_of_variants_is_asked_for(pair, tmp_path):
    unet, scheduler = pair
    scheduler.save_pretrained(tmp_path)
    unet.save_pretrained(tmp_path, variant="fp16")
    unet.save_pretrained(tmp_path, variant="ema")
    with pytest.raises(VdiffError, match="has weights of ema, fp16; give one as variant"):
        from_folder(tmp_path)
    assert from_folder(tmp_path, variant="ema").space.shape == (1, 8, 8)
    with pytest.raises(VdiffError, match="cannot be read"):
        from_folder(tmp_path, variant="other")


def test_latent_pipelines_are_refused(pair, tmp_path):
    unet, scheduler = pair
    unet.save_pretrained(tmp_path)
    scheduler.save_pretrained(tmp_path)
    named = {"movie": ["diffusers", "AutoencoderKL"], "unet": ["diffusers", "UNet2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(named))
    with pytest.raises(VdiffError, match="works on latents"):
        from_folder(tmp_path)
    (tmp_path / "model_index.json").unlink()
    assert from_folder(tmp_path).space.shape == (1, 8, 8)
    (tmp_path / "vae").mkdir()
    with pytest.raises(VdiffError, match="works on latents"):
        from_folder(tmp_path)
    latent = diffusers.LDMPipeline(diffusers.VQModel(), unet, diffusers.DDIMScheduler())
    with pytest.raises(VdiffError, match="vqvae: VQModel"):
        from_diffusers(latent)


def test_a_network_without_an_image_size_asks_for_it(pair):
    unet = diffusers.UNet2DModel(**{**SMALL, "sample_size": None})
    with pytest.raises(VdiffError, match=r"give data=\(C, H, W\) with C = 1"):
        from_diffusers(unet, pair[1])
    assert from_diffusers(unet, pair[1], data=(1, 16, 8)).space.shape == (1, 16, 8)


@pytest.mark.parametrize("kind", ["classes", "hidden states"])
def test_a_network_under_a_condition_takes_it(kind, rng):
    torch.manual_seed(0)
    if kind == "classes":
        unet = diffusers.UNet2DModel(**SMALL, num_class_embeds=10)
        condition = torch.randint(10, (8,), generator=rng)
    else:
        blocks = {
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        }
        unet = diffusers.UNet2DConditionModel(
            **{**SMALL, **blocks}, cross_attention_dim=8, attention_head_dim=4
        )
        condition = torch.randn(8, 3, 8, generator=rng)
    model = from_diffusers(unet, diffusers.DDPMScheduler(), check=False)
    x = torch.randint(256, (8, 1, 8, 8), generator=rng).to(torch.uint8)
    name = "class_labels" if kind == "classes" else "encoder_hidden_states"
    conditions = (condition, condition.flip(0), {name: condition})
    one, two, named = (model.log_prob(x, c, draws=2).value for c in conditions)
    assert np.isfinite(one).all() and (one != two).any()
    assert np.array_equal(named, one)


def test_the_network_is_left_as_it_was():
    unet = diffusers.UNet2DModel(**SMALL)
    model = from_diffusers(unet, diffusers.DDPMScheduler(), **KEYS)
    assert torch.isfinite(said(model)).all()
    assert all(part.training for part in unet.modules())
    assert all(p.requires_grad and p.grad is None for p in unet.parameters())


def test_other_schedulers_and_folders_are_refused(pair, tmp_path):
    unet, _ = pair
    with pytest.raises(VdiffError, match="must have DDPM's table"):
        from_diffusers(unet, diffusers.CMStochasticIterativeScheduler())
    flow = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True
    )
    with pytest.raises(VdiffError, match="prediction_type is 'flow_prediction'"):
        from_diffusers(unet, flow)
    with pytest.raises(VdiffError, match="A UNet2DModel came without a scheduler"):
        from_diffusers(unet)
    with pytest.raises(VdiffError, match="no folder of a diffusers pipeline"):
        from_folder(tmp_path)
    diffusers.VQModel().save_pretrained(tmp_path)
    with pytest.raises(VdiffError, match="is a VQModel; it must be a UNet2DModel"):
        from_folder(tmp_path)
    unet.save_pretrained(tmp_path)
    with pytest.raises(VdiffError, match=r"scheduler_config\.json cannot be read"):
        from_folder(tmp_path)
    (tmp_path / "scheduler_config.json").write_text('{"_class_name": "Mine"}')
    with pytest.raises(VdiffError, match="is of a Mine, which diffusers"):
        from_folder(tmp_path)
