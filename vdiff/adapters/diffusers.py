"""Networks and schedulers of the package diffusers (pip install vdiff[models]).

model = from_diffusers(unet, scheduler)
model = from_folder("ddpm-cifar10-32")  # a pipeline's folder, with its unet and its scheduler
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.diffusion.sdes.flow import FlowSDE
from vdiff.diffusion.sdes.table import TableSDE
from vdiff.diffusion.sdes.ve import VESDE
from vdiff.errors import VdiffError, first_line
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap

PREDICTS = {"epsilon": "noise", "sample": "x0", "v_prediction": "v"}


def from_diffusers(unet: Any, scheduler: Any, **keys: Any) -> Model:
    """A UNet2DModel, or another network unet(sample, timestep).sample, with the scheduler that it
    was trained with: DDPM's and those that share its table, EDM's, or flow matching's. keys: of
    `wrap`, such as range and levels. A network for classes takes them as its condition.

    Raises VdiffError for schedulers of other kinds.
    """
    config = scheduler.config
    sde: SDE
    more: dict[str, Any] = {}
    if type(scheduler).__name__.startswith("EDM"):
        sde, predicts = VESDE(float(config.sigma_max)), "F"
        more = {"s_min": float(config.sigma_min), "sigma_data": float(config.sigma_data)}
        if config.prediction_type != "epsilon":
            raise VdiffError(
                f"The scheduler's prediction_type is {config.prediction_type!r}; of EDM's it must "
                "be epsilon."
            )
    elif type(scheduler).__name__.startswith("FlowMatch"):
        N = config.num_train_timesteps
        sde, predicts, more = FlowSDE(), "velocity", {"time": lambda s: s * N}
    elif hasattr(scheduler, "alphas_cumprod") and config.get("prediction_type") in PREDICTS:
        sde = TableSDE(tuple(scheduler.alphas_cumprod.double().tolist()))
        predicts = PREDICTS[config.prediction_type]
    else:
        raise VdiffError(
            f"The scheduler is a {type(scheduler).__name__}; it must have DDPM's table "
            "alphas_cumprod, or be one of EDM's or of flow matching's."
        )
    size = unet.config.sample_size
    high, wide = (size, size) if isinstance(size, int) else size
    shape = (unet.config.in_channels, high, wide)

    def net(y: Tensor, t: Tensor, *condition: Tensor) -> Tensor:
        return unet(y, t, *condition).sample

    device = str(next(unet.parameters()).device)
    found = {"schedule": sde, "predicts": predicts, "data": shape, "device": device}
    return wrap(net, **{**found, **more, **keys})


def from_folder(folder: str | Path, device: str = "cpu", **keys: Any) -> Model:
    """A pipeline's folder: `unet` and `scheduler` within it, or the network's own with a scheduler
    beside it. Raises VdiffError when one is missing or of a kind that diffusers does not have."""
    import diffusers

    folder = Path(folder)
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    try:
        network = diffusers.UNet2DModel.from_pretrained(unet, local_files_only=True)
        text = (folder / "scheduler" / "scheduler_config.json").read_text()
        kind = getattr(diffusers, json.loads(text)["_class_name"])
        scheduler = kind.from_pretrained(folder, subfolder="scheduler", local_files_only=True)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise VdiffError(
            f"{folder} is no folder of a diffusers pipeline with a unet and a scheduler: "
            f"{first_line(error)}."
        ) from None
    return from_diffusers(network.to(torch.float32).to(device), scheduler, **keys)
