"""What a model was fitted to, as arrays and a text, so that other processes can have it."""

import dataclasses
import json
from importlib import import_module
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.sde import SDE
from vdiff.errors import VdiffError
from vdiff.likelihood.model import Model

STATE = ("controls", "s_0", "fitted_on")
"""What `Model.fit` finds."""
MATHEMATICS = "vdiff.diffusion."


def packed(model: Model) -> dict[str, np.ndarray]:
    """The state of the model's fit: `text` says what it is made of, the rest are its arrays."""
    arrays: list[np.ndarray] = []
    state = {n: _packed(getattr(model, n), arrays) for n in STATE if hasattr(model, n)}
    named = {f"array_{k}": array for k, array in enumerate(arrays)}
    return {"text": np.array(json.dumps(state)), **named}


def unpack(model: Model, arrays: dict[str, np.ndarray]) -> None:
    """Gives the model that state, bit for bit. Raises VdiffError for what is none."""
    try:
        state = json.loads(str(arrays["text"]))
        for name, node in state.items():
            setattr(model, name, _unpacked(node, arrays, model))
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
        raise VdiffError(f"What was kept of a fit is not of this vdiff: {error}.") from None


def _packed(value: Any, arrays: list[np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, SDE):
        return {"sde": None}  # the model's own
    if isinstance(value, Tensor):
        arrays.append(value.cpu().numpy())
        return {"array": len(arrays) - 1, "moved": value.device.type != "cpu"}
    if isinstance(value, tuple):
        return {"tuple": [_packed(v, arrays) for v in value]}
    if isinstance(value, FunctionType):
        return {"named": [value.__module__, value.__qualname__]}
    assert dataclasses.is_dataclass(value), type(value)
    fields = {
        f.name: _packed(getattr(value, f.name), arrays) for f in dataclasses.fields(value) if f.init
    }
    return {"named": [type(value).__module__, type(value).__qualname__], "fields": fields}


def _unpacked(node: Any, arrays: dict[str, np.ndarray], model: Model) -> Any:
    if not isinstance(node, dict):
        return node
    if "sde" in node:
        return model.sde
    if "array" in node:
        # In the order of its memory too: products of matrices round by it.
        array = torch.from_numpy(arrays[f"array_{node['array']}"].copy("K"))
        return array.to(model.device) if node["moved"] else array
    if "tuple" in node:
        return tuple(_unpacked(v, arrays, model) for v in node["tuple"])
    module, name = node["named"]
    if not module.startswith(MATHEMATICS):
        raise ValueError(f"{module} is no part of it")
    named = getattr(import_module(module), name)
    if "fields" not in node:
        return named
    return named(**{k: _unpacked(v, arrays, model) for k, v in node["fields"].items()})
