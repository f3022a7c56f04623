"""Networks and schedulers of the package diffusers (pip install vdiff[models]).

```python
model = from_diffusers(unet, scheduler)  # or a DDPMPipeline, which has both
model = from_folder("ddpm-cifar10-32")  # a folder with the network and its scheduler
```
"""

import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.diffusion.sdes.flow import FlowSDE
from vdiff.diffusion.sdes.table import TableSDE
from vdiff.diffusion.sdes.ve import VESDE
from vdiff.errors import VdiffError, first_line
from vdiff.likelihood.model import Model
from vdiff.likelihood.wrap import wrap

PREDICTS = {"epsilon": "noise", "sample": "x0", "v_prediction": "v"}
NETWORKS = ("UNet2DModel", "UNet2DConditionModel")
WEIGHTS = re.compile(  # of one file or of several; a variant is a word such as fp16
    r"diffusion_pytorch_model(?:\.(\w+))?(?:-\d+-of-\d+)?\.(?:safetensors|bin)"
)
LATENT = re.compile("Autoencoder|VQ|VAE")  # in the name of a class: it maps images to latents
WRAPPERS = ("module.", "_orig_mod.")  # that DataParallel and torch.compile put before names


def from_diffusers(unet: Any, scheduler: Any = None, **keys: Any) -> Model:
    """The model of a network and the scheduler that it was trained with.

    Arguments:
        unet: A UNet2DModel, or another network unet(sample, timestep).sample; or a pipeline in
            place of network and scheduler. A network for classes takes their numbers as its
            condition, a UNet2DConditionModel its encoder_hidden_states, and either a dict of their
            arguments.
        scheduler: DDPM's or one that shares its table, EDM's, or flow matching's.
        **keys: Further arguments of `vdiff.wrap`, such as range and levels.

    Raises:
        VdiffError: For schedulers of other kinds, and for pipelines whose network works on latents.
    """
    if scheduler is None:
        unet, scheduler = _taken_apart(unet)
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
        # Whatever the shift, the network is told the noise level, times the number of steps.
        if config.get("invert_sigmas"):
            raise VdiffError("The scheduler's invert_sigmas is True; it must be False.")
        N = config.num_train_timesteps
        sde, predicts, more = FlowSDE(), "velocity", {"time": lambda s: s * N}
    elif not hasattr(scheduler, "alphas_cumprod"):
        raise VdiffError(
            f"The scheduler is a {type(scheduler).__name__}; it must have DDPM's table "
            "alphas_cumprod, or be one of EDM's or of flow matching's."
        )
    elif config.get("prediction_type") not in PREDICTS:
        raise VdiffError(
            f"The scheduler's prediction_type is {config.get('prediction_type')!r}; it must be one "
            f"of {', '.join(PREDICTS)}."
        )
    else:
        sde = TableSDE(tuple(scheduler.alphas_cumprod.double().tolist()))
        predicts = PREDICTS[config.prediction_type]

    def net(y: Tensor, t: Tensor, /, *condition: Tensor, **named: Tensor) -> Tensor:
        return unet(y, t, *condition, **named).sample

    device = str(next(unet.parameters()).device)
    own: dict[str, Any] = {"schedule": sde, "predicts": predicts, "device": device}
    if "data" not in keys:
        own["data"] = _shape(unet)
    return wrap(net, **{**own, **more, **keys})


def from_folder(
    folder: str | Path,
    device: str = "cpu",
    *,
    unet: str | None = None,
    variant: str | None = None,
    **keys: Any,
) -> Model:
    """The model in a folder as pipelines are shared.

    Arguments:
        folder: The network is in it or in its folder `unet`, the scheduler's configuration in it or
            in its folder `scheduler`.
        device: The device that the network is put on.
        unet: Another folder of the network within it, such as unet_ema.
        variant: Which weights to take, such as fp16, where there are several.
        **keys: Further arguments of `vdiff.wrap`, such as range and levels.

    Raises:
        VdiffError: When network or scheduler is missing or of a kind that vdiff does not take, when
            the weights are not all of the network's, and for pipelines whose network works on
            latents.
    """
    import diffusers

    folder = Path(folder)
    _check_pixels(folder)
    place = _place(folder, unet)
    config = _read(place / "config.json")
    kind = config.get("_class_name", "UNet2DModel")
    if kind not in NETWORKS:
        raise VdiffError(
            f"The network in {place} is a {kind}; it must be a {' or '.join(NETWORKS)}."
        )
    own = folder / "scheduler" / "scheduler_config.json"
    own = own if own.is_file() else folder / "scheduler_config.json"
    name = _read(own).get("_class_name")
    scheduler_kind = getattr(diffusers, name or "", None)
    if scheduler_kind is None:
        raise VdiffError(
            f"{own} is of a {name}, which diffusers {diffusers.__version__} does not have."
        )
    network = _loaded(getattr(diffusers, kind), place, variant or _variant(place))
    try:
        scheduler = scheduler_kind.from_pretrained(own.parent, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise VdiffError(f"{own} is no scheduler's configuration: {first_line(error)}.") from None
    return from_diffusers(network.to(device), scheduler, **keys)


def _taken_apart(pipeline: Any) -> tuple[Any, Any]:
    """The network and the scheduler of a pipeline."""
    parts = getattr(pipeline, "components", {})
    if "unet" not in parts or "scheduler" not in parts:
        raise VdiffError(
            f"A {type(pipeline).__name__} came without a scheduler; it must be a network with its "
            "scheduler, or a pipeline that has both."
        )
    _refuse_latents(
        type(pipeline).__name__, {name: type(part).__name__ for name, part in parts.items()}
    )
    return parts["unet"], parts["scheduler"]


def _refuse_latents(owner: Any, classes: dict[str, str]) -> None:
    for name, kind in classes.items():
        if LATENT.search(kind) or name in ("vae", "vqvae", "movq"):
            raise VdiffError(
                f"{owner} is a latent pipeline ({name}: {kind}): its network works on latents, "
                "whose likelihood is none of images. Give from_diffusers(unet, scheduler, "
                "levels=None) and an AutoencoderKL to vdiff.with_vae."
            )


def _check_pixels(folder: Path) -> None:
    """Refuse a folder with an autoencoder in it, or named in its model_index.json."""
    index = folder / "model_index.json"
    named = _read(index) if index.is_file() else {}
    classes = {n: str(v[1]) for n, v in named.items() if isinstance(v, list) and len(v) == 2}
    held = {name: "a folder" for name in ("vae", "vqvae", "movq") if (folder / name).is_dir()}
    _refuse_latents(folder, {**held, **classes})


def _place(folder: Path, unet: str | None) -> Path:
    """The folder of the network."""
    others = sorted(
        p.parent.name for p in folder.glob("*/config.json") if p.parent.name.startswith("unet")
    )
    if unet is not None and unet not in others:
        raise VdiffError(
            f"unet is {unet!r}; of {folder} it must be one of {', '.join(others) or 'none'}."
        )
    place = folder / (unet or "unet" if unet or "unet" in others else "")
    if not (place / "config.json").is_file():
        more = f"; give unet={others[0]!r} for the one that it has" if others else ""
        raise VdiffError(
            f"{folder} is no folder of a diffusers pipeline: there is no config.json of a network "
            f"in it or in its unet{more}."
        )
    beside = [name for name in others if name != place.name]
    if beside and unet is None:
        warnings.warn(
            f"{folder} has {', '.join(beside)} beside the weights that are taken; say which with "
            f"unet={beside[0]!r}.",
            stacklevel=3,
        )
    return place


def _variant(place: Path) -> str | None:
    """Which variant the weights in a folder are: none where there are plain ones."""
    names = [m for m in (WEIGHTS.fullmatch(p.name) for p in place.iterdir()) if m]
    variants = {m[1] for m in names}
    if None in variants or not variants:
        return None
    if len(variants) > 1:
        raise VdiffError(
            f"{place} has weights of {', '.join(sorted(variants))}; give one as variant."
        )
    return variants.pop()


def _loaded(kind: Any, place: Path, variant: str | None) -> Any:
    """The network with all of its weights. Without accelerate diffusers only warns of those that a
    file lacks, and leaves them as the memory was."""
    from diffusers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # what it would print is raised here
    try:
        network, info = kind.from_pretrained(
            place, local_files_only=True, variant=variant, output_loading_info=True,
            low_cpu_mem_usage=False, ignore_mismatched_sizes=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise VdiffError(f"The network in {place} cannot be read: {first_line(error)}.") from None
    finally:
        logging.set_verbosity(level)
    lost, more = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    other = sorted(str(key[0]) for key in info["mismatched_keys"])
    prefix = next((p for p in WRAPPERS if any(key.startswith(p) for key in more)), None)
    if prefix:
        raise VdiffError(
            f"The weights in {place} are named {prefix}…, as a wrapper of the network names them; "
            f"save those of the network itself, net.{prefix.rstrip('.')}."
        )
    if lost or more or other:
        parts = {"lack": lost, "have more": more, "have in another shape": other}
        said = "; ".join(f"{word} {_few(names)}" for word, names in parts.items() if names)
        raise VdiffError(f"The weights in {place} are not those of its config.json: they {said}.")
    return network


def _few(names: Iterable[str]) -> str:
    first, *rest = names
    return f"{first} and {len(rest)} others" if rest else first


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's object."""
    try:
        keys = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise VdiffError(
            f"{path.parent} is no folder of a diffusers pipeline: {path.name} cannot be read: "
            f"{first_line(error)}."
        ) from None
    if not isinstance(keys, dict):
        raise VdiffError(f"{path} holds a {type(keys).__name__}; it must hold an object.")
    return keys


def _shape(unet: Any) -> tuple[int, int, int]:
    """(C, H, W) by the network's configuration."""
    size = unet.config.get("sample_size")
    if size is None:
        raise VdiffError(
            "The network's sample_size is None, so that it does not say how large its images are; "
            f"give data=(C, H, W) with C = {unet.config.in_channels}."
        )
    high, wide = (size, size) if isinstance(size, int) else size
    return unet.config.in_channels, high, wide
