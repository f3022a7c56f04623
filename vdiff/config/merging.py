"""Laying one mapping over another, and turning what is wrong with a mapping into a sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from vdiff.errors import VdiffError

M = TypeVar("M", bound=BaseModel)


def merge(base: dict, over: dict) -> dict:
    """base with over laid on top, mapping by mapping; one of another `kind` replaces its base.

    >>> merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]})
    {'a': {'b': 3, 'c': 2}, 'd': [2]}
    >>> merge({"sde": {"kind": "vp", "beta_max": 20}}, {"sde": {"kind": "cosine"}})
    {'sde': {'kind': 'cosine'}}
    """
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(value, dict) and isinstance(below, dict):
            other = "kind" in value and value["kind"] != below.get("kind")
            value = value if other else merge(below, value)
        merged[name] = value
    return merged


def _key(name: str) -> str:
    return f"The configuration key {name}"


def validate(model: type[M], content: object, called: Callable[[str], str] = _key) -> M:
    """content as an instance of the model; the first fault becomes a VdiffError.

    called: what a sentence calls a key of that name.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise VdiffError(_sentence(error, called)) from None


def _sentence(error: ValidationError, called: Callable[[str], str]) -> str:
    """The first fault of a validation, as one sentence."""
    fault = error.errors()[0]
    loc = fault["loc"]  # after sde it says which kind of SDE was tried
    parts = [str(part) for k, part in enumerate(loc) if k == 0 or loc[k - 1] != "sde"]
    name = called(".".join(parts) or "configuration")
    if fault["type"] == "extra_forbidden":
        return f"{name} is unknown; docs/configuration.md lists all keys."
    if fault["type"] == "missing":
        return f"{name} is missing."
    value = fault["input"]
    shown = repr(value) if not isinstance(value, dict) else "a mapping"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{name} is {shown}: {message[0].lower()}{message[1:]}."


def read_yaml(path: Path) -> dict:
    """A mapping from a YAML or JSON file; raises VdiffError when it is none."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise VdiffError(f"{path} cannot be read as YAML: {said}.") from None
    if not isinstance(content, dict):
        raise VdiffError(f"{path} must hold a YAML mapping of keys to values.")
    return content
