"""Typed configuration: presets, overrides and their validation.

Unknown keys, wrong types and impossible values raise VdiffError with one sentence that names the
key, the value and what is allowed. Nothing here imports torch.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from vdiff.config.experiment import PAPER, Arm, Config, Experiment
from vdiff.config.fields import DATASETS, Strict
from vdiff.config.measurements import (
    Discrete,
    Distances,
    Evaluation,
    Forms,
    Inference,
    Likelihood,
    Quality,
    Sampling,
    Theory,
    Trajectory,
    Variance,
)
from vdiff.config.merging import merge, parse_yaml, read_yaml, validate
from vdiff.config.run import Run, read_run, run_of
from vdiff.config.sections import Network, Training
from vdiff.config.specs.integration import Integration
from vdiff.errors import VdiffError

__all__ = [
    "DATASETS", "PAPER", "Arm", "Config", "Discrete", "Distances", "Evaluation", "Experiment",
    "Forms", "Inference", "Integration", "Likelihood", "Network", "Quality", "Run", "Sampling",
    "Strict", "Theory", "Training", "Trajectory", "Variance",
    "load_config", "merge", "preset_names", "read_run", "read_yaml", "run_of", "validate",
]  # fmt: skip

PRESETS: Traversable = files("vdiff.presets")


def preset_names() -> list[str]:
    names = (path.name for path in PRESETS.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def _without_words_for_null(value: Any) -> Any:
    """`--config` hands nested values over as text: the word null then means null."""
    if isinstance(value, dict):
        return {key: _without_words_for_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_words_for_null(item) for item in value]
    return None if value in ("null", "~") else value


def load_config(overrides: dict | None = None) -> Config:
    """The preset that `overrides` names (demo if none), with the overrides merged over it."""
    overrides = _without_words_for_null(overrides or {})
    preset = overrides.get("preset", "demo")
    if preset not in preset_names():
        raise VdiffError(f"preset is {preset!r}; it must be one of {', '.join(preset_names())}.")
    base = parse_yaml((PRESETS / f"{preset}.yaml").read_text())
    config = validate(Config, merge(base, {**overrides, "preset": preset}))
    if config.only is None:
        return config
    for name in config.only:
        if name not in config.experiments:
            known = ", ".join(config.experiments)
            raise VdiffError(f"The configuration key only names {name!r}; there are {known}.")
    kept = {name: e for name, e in config.experiments.items() if name in config.only}
    if not kept:
        raise VdiffError("The configuration key only is empty; name at least one experiment.")
    return config.model_copy(update={"experiments": kept})
