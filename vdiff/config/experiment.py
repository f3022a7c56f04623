"""Experiments and their arms: what is trained, on which data, and what is measured on it."""

import re
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from vdiff.config.merging import merge
from vdiff.config.sections import (
    VP,
    Dataset,
    Forward,
    Measurements,
    Network,
    Positive,
    PositiveFloat,
    Seed,
    Strict,
    Training,
    key,
)

PAPER = ("debias-True", "debias-False")  # the paper's two arms, as a pair: True less False
NAME = re.compile(r"[A-Za-z0-9_]+")
ARM = re.compile(r"[A-Za-z0-9_.=-]*[A-Za-z0-9]")
TRAINED = ("sde", "network", "training")  # the sections that an arm may override


class Arm(Strict):
    """One way to train: the experiment's sections with this arm's overrides laid over them."""

    debias: bool = key(True, "Draw times from the debiased law, otherwise uniformly.")
    sde: Forward = key(VP(), "Overrides of the experiment's sde.")
    network: Network = key(Network(), "Overrides of the experiment's network.")
    training: Training = key(Training(), "Overrides of the experiment's training.")


class Experiment(Measurements):
    """One data set, the arms trained on it, and what is measured."""

    dataset: Dataset = key(..., "swissroll, digits, photos, mnist, cifar10 or npz:PATH.")
    seeds: list[Seed] = key([0], "Each arm is trained once for each.", min_length=1)
    sde: Forward = key(VP(), "The forward SDE.")
    network: Network = key(Network(), "The network.")
    training: Training = key(Training(), "The training.")
    sweep: dict[str, list[Any]] = key(
        {}, "Dotted keys to lists of values, such as training.lr; each arm is trained for each."
    )
    arms: dict[str, Arm] = key(
        {}, "Names to overrides of sde, network and training; by default the paper's two arms."
    )
    pairs: list[tuple[str, str]] = key(
        [], "Arms to compare, first less second; by default debias-True and debias-False."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_arms(cls, raw: Any) -> Any:
        """Swept, and with the experiment's sections under each arm's own."""
        if not isinstance(raw, dict):
            return raw
        arms = raw.get("arms")
        if arms is None or arms == {}:
            arms = {name: {} for name in sorted(PAPER)}
        if not isinstance(arms, dict):
            return raw
        arms = {name: arm for name, arm in arms.items() if arm is not None}
        base = {name: raw[name] for name in TRAINED if isinstance(raw.get(name), dict)}
        filled = {}
        for name, arm in arms.items():
            if not isinstance(arm, dict):
                return {**raw, "arms": arms}
            for suffix, over in _combinations(raw.get("sweep")):
                debias = {"debias": name != "debias-False"}
                filled[f"{name}{suffix}"] = merge(merge({**debias, **base}, over), arm)
        return {**raw, "arms": filled, "sweep": {}} if filled else {**raw, "arms": arms}

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        for name, arm in self.arms.items():
            if not ARM.fullmatch(str(name)):
                raise ValueError(f"the arm {name!r} must be letters, digits, _, ., = and -")
            for paper in PAPER:
                if name == paper and arm.debias != (name == "debias-True"):
                    raise ValueError(f"the arm {name} has debias {arm.debias}")
        for pair in self.pairs:
            for name in pair:
                if name not in self.arms:
                    raise ValueError(f"pairs names {name!r}; the arms are {', '.join(self.arms)}")
            if pair[0] == pair[1]:
                raise ValueError(f"pairs compares {pair[0]} with itself")
        return self

    @field_validator("seeds", "pairs")
    @classmethod
    def _unique(cls, values: list) -> list:
        if len(set(values)) < len(values):
            raise ValueError(f"{values} names a value twice")
        return values

    @property
    def compared(self) -> list[tuple[str, str]]:
        """The pairs of arms, first less second: those named, or the paper's, swept alike."""
        if self.pairs:
            return self.pairs
        true, false = PAPER
        suffixes = [a.removeprefix(true) for a in self.arms if a.startswith(true)]
        return [(true + s, false + s) for s in suffixes if false + s in self.arms]


def _combinations(sweep: Any) -> list[tuple[str, dict]]:
    """Every combination of swept values: (suffix of an arm's name, overrides)."""
    if not isinstance(sweep, dict) or not all(isinstance(v, list) for v in sweep.values()):
        return [("", {})]
    found = []
    for values in product(*sweep.values()):
        over: dict = {}
        for path, value in zip(sweep, values, strict=True):
            *sections, last = str(path).split(".")
            nested: Any = {last: value}
            for section in reversed(sections):
                nested = {section: nested}
            over = merge(over, nested)
        tags = [f"_{str(p).split('.')[-1]}={v!r}" for p, v in zip(sweep, values, strict=True)]
        found.append(("".join(tags).replace("'", ""), over))
    return found


class Config(Strict):
    """A whole configuration: a preset with overrides."""

    preset: str = key("demo", "Which preset the other keys are laid over.")
    results: str = key("results", "Folder of all results; a preset's are in a folder in it.")
    data_root: str = key("data", "Folder of the torchvision sets.")
    device: Literal["auto", "cpu", "cuda"] = key("auto", "auto takes a GPU if torch sees one.")
    threads: Positive = key(1, "CPU threads of a job.")
    notebook: bool = key(False, "Also run the tutorial notebook.")
    slice_minutes: PositiveFloat | None = key(None, "Cut trainings into jobs of that length.")
    slices: Positive = key(50, "At most so many more jobs for each training cut up.")
    only: list[str] | None = key(None, "Run only the experiments of these names.")
    experiments: dict[str, Experiment] = Field(min_length=1, description="Names to experiments.")

    @field_validator("experiments", mode="before")
    @classmethod
    def _switched_off(cls, experiments: Any) -> Any:
        """An experiment that is null is left out."""
        if not isinstance(experiments, dict):
            return experiments
        return {name: e for name, e in experiments.items() if e is not None}

    @field_validator("experiments")
    @classmethod
    def _names(cls, experiments: dict[str, Experiment]) -> dict[str, Experiment]:
        for name in experiments:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} must be letters, digits and underscores")
        return experiments

    @property
    def folder(self) -> Path:
        """Where the results are."""
        return Path(self.results) / self.preset
