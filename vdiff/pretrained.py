"""Weights to take home: a trained network in one file, with all that it needs but its data.

```python
model = vdiff.load("mnist-record")  # a `Model`, as vdiff.wrap makes it
model.log_prob(images), model.sample(16, lmbd=0.5)
```
"""

import hashlib
import json
import re
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
from vdiff.trained import Trained, drift_from, final, network_of, sde_of_run

if TYPE_CHECKING:
    from vdiff.config import Run
    from vdiff.data import Data

FOLDERS = (PACKAGE / "pipeline" / "pretrained", PACKAGE.parent / "results/reference/pretrained")
"""In the wheel, or in a checkout."""


EARLIEST = 1e-9
"""Of T: this package's own networks are asked at every time above it."""


def _whole(value: Any, least: int, most: int = 2**63) -> bool:
    return type(value) is int and least <= value <= most


def _sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _counts(value: Any, file: Mapping) -> bool:
    if file["run"]["network"]["parameterisation"] != "levels":
        return value is None
    whole = isinstance(value, list) and all(_whole(n, 0) for n in value)
    return whole and len(value) == file["levels"] and sum(value) > 0


LATER = {"scale_shift": False, "mirrored": False}
"""Keys of a network that are younger than the files that come with vdiff, with their defaults."""
PRECISIONS = (None, "float32", "tf32", "bfloat16")
Allowed = Callable[[Any, Mapping], bool]
KEYS: dict[str, tuple[str, Allowed]] = {
    "run": ("a run", lambda v, file: isinstance(v, dict)),
    "iteration": ("a whole number", lambda v, file: _whole(v, 0)),
    "shape": (
        "[dimensions] or [channels, height, width]",
        lambda v, file: isinstance(v, list) and len(v) in (1, 3) and all(_whole(n, 1) for n in v),
    ),
    "levels": (
        "a whole number from 2 to 256, for vectors 1",
        lambda v, file: _whole(v, *((2, 256) if len(file["shape"]) == 3 else (1, 1))),
    ),
    "level_counts": ("one count for each level, or null", _counts),
    "data": ("a SHA-256, or null", lambda v, file: v is None or _sha256(v)),
    "precision": ("float32, tf32, bfloat16 or null", lambda v, file: v in PRECISIONS),
    "sha256": ("a SHA-256", lambda v, file: _sha256(v)),
}
"""What a file says of itself, in what words it is allowed, and whether it is, those before it being
so. sha256 is that of all the others and the tensors; older files say no precision."""


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
        ends_at=EARLIEST * sde.T,
    )


def names() -> dict[str, Path]:
    """The networks that come with vdiff."""
    return {path.stem: path for folder in FOLDERS for path in sorted(folder.glob(f"*{ENDING}"))}


def write_pretrained(
    path: Path,
    model: Trained,
    weights: Mapping[str, Tensor],
    iteration: int,
    kept_in: torch.dtype = torch.float32,
    precision: str | None = None,
) -> None:
    """One file of the weights, rounded to kept_in, with the run, its data as they are described,
    the precision that it was computed in, if known, and the checksum of all."""
    run = model.run
    said = {"run": run.model_dump(), "iteration": iteration, **described(model.data, run)}
    said["precision"] = precision
    tensors = {name: w.detach().cpu().to(kept_in).contiguous() for name, w in weights.items()}
    said["sha256"] = _checksum(said, tensors)
    write_bytes(path, save(tensors, {"vdiff": json.dumps(said)}))


def described(data: "Data", run: "Run") -> dict[str, Any]:
    """What a file of weights says of the data that a run was trained with: checksum, shape, levels,
    and for the parameterisation levels the counts of the training images' grey levels."""
    counted = run.network.parameterisation == "levels"
    return {
        "data": data.checksum(),
        "shape": list(data.shape),
        "levels": data.levels,
        "level_counts": data.level_counts().tolist() if counted else None,
    }


def _checksum(said: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Of the tensors' names, types, shapes and bytes, and of all that the file says but this."""
    others = {key: value for key, value in said.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(others, sort_keys=True).encode())
    for name, w in sorted(tensors.items()):
        digest.update(f"{name} {w.dtype} {tuple(w.shape)}".encode())
        digest.update(w.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_pretrained(path: Path, device: str = "cpu") -> Model:
    """The model in such a file. Raises VdiffError when it is none."""
    about, weights = _read(path)
    run, shape = about["run"], tuple(about["shape"])
    network = network_of(run, shape)
    try:
        network.load_state_dict({name: w.float() for name, w in weights.items()})
    except RuntimeError as error:
        raise VdiffError(f"{path} does not fit its own network: {first_line(error)}.") from None
    network = place(network, device).eval().requires_grad_(False)
    device = host_of(device)
    counts = about["level_counts"]
    a = final(drift_from(network, run, lambda: torch.tensor(counts), device), run)
    levels = about["levels"] if len(shape) == 3 else None
    return model_of(run, a, Space(shape, levels, logit=run.training.real), device)


def about(path: Path) -> dict[str, Any]:
    """What a file says of itself: run (a `Run`) and the other KEYS. Raises VdiffError when it is
    none of these files, or not as it was written."""
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {})["vdiff"]
            weights = {name: file.get_tensor(name) for name in file.keys()}
        said = json.loads(text)
        for key in (KEYS.keys() ^ said.keys()) - {"precision"}:
            raise VdiffError(
                f"{path} {'lacks' if key in KEYS else 'has the unknown key'} {key} in its header; "
                "write it again by `vdiff export-weights`."
            )
        run = _run_of(said["run"], path)
        for key, (words, allowed) in KEYS.items():
            if not allowed(said.get(key), said):
                raise VdiffError(
                    f"{path} says in its header that {key} is {said.get(key)!r:.60}; "
                    f"it must be {words}."
                )
        if _checksum(said, weights) != said["sha256"]:
            raise VdiffError(
                f"{path} does not match its own checksum; it was changed or damaged since "
                "`vdiff export-weights` wrote it."
            )
    except VdiffError:
        raise
    except Exception as error:  # damaged files make the parser raise anything
        raise VdiffError(
            f"{path} is no file of `vdiff export-weights`: {first_line(error)}."
        ) from None
    return {**said, "run": run}, weights


def _run_of(content: dict[str, Any], path: Path) -> "Run":
    """The run that a file describes. Those that come with vdiff are taken at their word where there
    is no pydantic to check them, which is no part of a light installation."""
    try:
        with needed():
            from vdiff.config import Run, validate
    except VdiffError:
        if path not in names().values():
            raise
        return _plain({**content, "network": LATER | content["network"]})
    return validate(Run, content, lambda key: f"In the header of {path} the key run.{key}")


def _plain(content: Any) -> Any:
    """A mapping with its keys as attributes, and so those within it."""
    if not isinstance(content, dict):
        return content
    return SimpleNamespace(**{key: _plain(value) for key, value in content.items()})
