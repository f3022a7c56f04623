"""Weights to take home: a trained network in one file, with all that it needs but its data.

model = vdiff.load("mnist-record")  # a `Model`, as vdiff.wrap makes it
model.log_prob(images), model.sample(16, lmbd=0.5)
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from vdiff.diffusion.drift import Drift
from vdiff.errors import VdiffError, first_line, needed
from vdiff.files.atomic import write_bytes
from vdiff.files.pipeline import PACKAGE
from vdiff.files.weights import ENDING
from vdiff.likelihood.model import Model
from vdiff.likelihood.space import Space
from vdiff.machine.devices import host_of, place
from vdiff.trained import Trained, drift_from, network_of, sde_of_run

if TYPE_CHECKING:
    from vdiff.config import Run
    from vdiff.data import Data

FOLDERS = (PACKAGE / "pipeline" / "pretrained", PACKAGE.parent / "results/reference/pretrained")
"""In the wheel, or in a checkout."""


EARLIEST = 1e-9
"""Of T: this package's own networks are asked at every time above it."""


def model_of(run: "Run", a: Drift, space: Space, device: str, data: "Data | None" = None) -> Model:
    """The likelihood of a run's network whose drift is a; data: its own, where it is at hand."""
    sde = sde_of_run(run)

    def in_float32(y: Tensor, s: Tensor) -> Tensor:
        return a(y.float(), s.float()).to(y)

    return Model(
        sde,
        in_float32,
        space,
        EARLIEST * sde.T,
        eps_t=run.sde.eps_t,
        device=device,
        check=False,
        data=data,
    )


def names() -> dict[str, Path]:
    """The networks that come with vdiff."""
    return {path.stem: path for folder in FOLDERS for path in sorted(folder.glob(f"*{ENDING}"))}


def write_pretrained(
    path: Path,
    model: Trained,
    weights: Mapping[str, Tensor],
    iteration: int,
    precision: torch.dtype = torch.float32,
) -> None:
    """One file of the weights, in that precision, with the run, its data's shape and checksum, and
    for the parameterisation levels the counts of the training images' grey levels."""
    data, run = model.data, model.run
    levels = run.network.parameterisation == "levels"
    about = {
        "run": run.model_dump(),
        "iteration": iteration,
        "shape": list(data.shape),
        "levels": data.levels,
        "level_counts": data.level_counts().tolist() if levels else None,
        "data": data.checksum(),
    }
    tensors = {name: w.detach().cpu().to(precision).contiguous() for name, w in weights.items()}
    write_bytes(path, save(tensors, {"vdiff": json.dumps(about)}))


def read_pretrained(path: Path, device: str = "cpu") -> Model:
    """The model in such a file. Raises VdiffError when it is none."""
    about, weights = _content(path)
    run, shape = about["run"], tuple(about["shape"])
    network = network_of(run, shape)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise VdiffError(f"{path} does not fit its own network: {first_line(error)}.") from None
    network = place(network, device).eval().requires_grad_(False)
    device = host_of(device)
    counts = about["level_counts"]
    a = drift_from(network, run, lambda: torch.tensor(counts), device)
    levels = about["levels"] if len(shape) == 3 else None
    return model_of(run, a, Space(shape, levels, logit=run.training.real), device)


def about(path: Path) -> dict[str, Any]:
    """What a file says of itself, without its weights: run (a `Run`), iteration, shape, levels,
    level_counts, data. Raises VdiffError when it is none of these files."""
    return _read(path, lambda file: {})[0]


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return _read(path, lambda file: {name: file.get_tensor(name).float() for name in file.keys()})


def _read(
    path: Path, of: Callable[[Any], dict[str, Tensor]]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            text, weights = (file.metadata() or {})["vdiff"], of(file)
        found = json.loads(text)
        found["run"] = _run_of(found["run"], path)
    except VdiffError:
        raise
    except Exception as error:  # damaged files make the parser raise anything
        raise VdiffError(
            f"{path} is no file of `vdiff export-weights`: {first_line(error)}."
        ) from None
    return found, weights


def _run_of(content: dict[str, Any], path: Path) -> "Run":
    """The run that a file describes. Those that come with vdiff are taken at their word where there
    is no pydantic to check them, which is no part of a light installation."""
    try:
        with needed():
            from vdiff.config import Run, validate
    except VdiffError:
        if path not in names().values():
            raise
        return _plain(content)
    return validate(Run, content)


def _plain(content: Any) -> Any:
    """A mapping with its keys as attributes, and so those within it."""
    if not isinstance(content, dict):
        return content
    return SimpleNamespace(**{key: _plain(value) for key, value in content.items()})
