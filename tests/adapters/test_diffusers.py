"""Networks and schedulers of diffusers, made small, saved and loaded by its own means."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

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
    found = from_diffusers(Gaussian(scheduler), scheduler, levels=None).log_prob(x, draws=8)
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


def test_other_schedulers_and_folders_are_refused(tmp_path):
    unet = diffusers.UNet2DModel(**SMALL)
    with pytest.raises(VdiffError, match="must have DDPM's table"):
        from_diffusers(unet, diffusers.CMStochasticIterativeScheduler())
    with pytest.raises(VdiffError, match="no folder of a diffusers pipeline"):
        from_folder(tmp_path)
