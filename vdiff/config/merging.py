"""Laying one mapping over another, and turning what is wrong with a mapping into a sentence."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

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


class _StrictLoader(yaml.SafeLoader):
    """YAML 1.2's scalars, in which on, no and 010 are words, and no key twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ValueError(f"the key {key.value} stands twice in a mapping, in line {line}")
            seen.add(key.value)
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"  # names are words, 16 and null too
        return super().construct_mapping(node, deep)


_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(0|[1-9][0-9_]*)", "-+0123456789"),
    "float": (
        r"[-+]?([0-9_]+\.[0-9_]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf)|\.(nan|NaN)",
        "-+0123456789.",
    ),
}
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rsplit(":", 1)[-1] in ("null", "merge")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _first) in _SCALARS.items():
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )


def parse_yaml(text: str) -> Any:
    """What a YAML text says, read strictly; raises ValueError or yaml.YAMLError.

    >>> parse_yaml("{lr: on, n: 010, x: 1e-4, y: 1.5, z: true}")
    {'lr': 'on', 'n': '010', 'x': 0.0001, 'y': 1.5, 'z': True}
    """
    return yaml.load(text, _StrictLoader)


def read_yaml(path: Path) -> dict:
    """A mapping from a YAML or JSON file; raises VdiffError when it is none."""
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise VdiffError(f"{path} is not text in UTF-8; save it in that encoding.") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise VdiffError(f"{path} cannot be read as YAML: {said}.") from None
    if not isinstance(content, dict):
        raise VdiffError(f"{path} must hold a YAML mapping of keys to values.")
    return content
