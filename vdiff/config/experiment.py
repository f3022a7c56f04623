"""Experiments and their arms: what is trained, on which data, and what is measured on it."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from vdiff.config.fields import DATASETS, Dataset, Positive, PositiveFloat, Seed, Strict, key
from vdiff.config.measurements import Measurements
from vdiff.config.merging import merge
from vdiff.config.sections import VP, Forward, Network, Training
from vdiff.config.specs import SPECS

PAPER = ("debias-True", "debias-False")  # the paper's two arms, as a pair: True minus False
PublishedOn = Literal["mnist", "cifar10"]  # data sets with published numbers
PUBLISHED_ON = get_args(PublishedOn)
NAME = re.compile(r"[A-Za-z0-9_]{1,40}")
ARM = re.compile(r"(?=.{1,80}$)[A-Za-z0-9_.=-]*[A-Za-z0-9]")
"""Names become parts of file names: two arms and an experiment stand in the longest of them."""
TRAINED = ("sde", "network", "training")  # the sections that an arm may override


def _folder(path: str) -> str:
    wrong = [c for c in "{}<>\n" if c in path]
    if wrong or not path or path.startswith("-"):
        raise ValueError("it must be a folder's name without braces, < and >, nor - at its start")
    return str(Path(path).expanduser())


Folder = Annotated[str, AfterValidator(_folder)]


class Arm(Strict):
    """One way to train: the experiment's sections with this arm's overrides laid over them."""

    debias: bool = key(
        ...,
        "Draw debiased times, otherwise uniform ones; every arm must say which, except those "
        "called debias-True and debias-False.",
    )
    sde: Forward = key(VP(), "Overrides of the experiment's sde.")
    network: Network = key(Network(), "Overrides of the experiment's network.")
    training: Training = key(Training(), "Overrides of the experiment's training.")

    @model_validator(mode="after")
    def _fitted(self) -> "Arm":
        check_law(self.debias, self.training)
        return self


class Experiment(Measurements):
    """One data set, the arms trained on it, and what is measured."""

    dataset: Dataset = key(..., "swissroll, digits, photos, mnist, cifar10 or npz:PATH.")
    published_on: PublishedOn | None = key(
        None,
        "Data set whose published numbers are shown too; by default the experiment's own.",
    )
    seeds: list[Seed] = key([0], "Each arm is trained once with each.", min_length=1)
    sde: Forward = key(VP(), "The forward SDE.")
    network: Network = key(Network(), "The network.")
    training: Training = key(Training(), "The training.")
    sweep: dict[str, list[Any]] = key(
        {},
        "Maps dotted keys, such as training.lr, to lists of values; each arm is trained with "
        "each, whatever its own value.",
    )
    arms: dict[str, Arm] = key(
        {}, "Maps names to overrides of sde, network and training; by default the paper's two arms."
    )
    pairs: list[tuple[str, str]] = key(
        [],
        "Arms to compare, first minus second; by default each debiased arm minus the uniform one "
        "that has all other keys alike, then every other arm minus the debiased one of these "
        "pairs (the first debiased arm where there are none) from which it differs in the fewest "
        "keys.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_arms(cls, raw: Any) -> Any:
        """Swept, and with the experiment's sections under each arm's own."""
        if not isinstance(raw, dict):
            return raw
        given = raw.get("arms")
        if not isinstance(given or {}, dict):
            return raw
        arms = {name: arm for name, arm in (given or {}).items() if arm is not None}
        if not arms:  # none is named: the paper's, but for those switched off
            arms = {name: {} for name in sorted(PAPER) if name not in (given or {})}
        base = {name: raw[name] for name in TRAINED if isinstance(raw.get(name), dict)}
        filled = {}
        for name, arm in arms.items():
            if not isinstance(arm, dict):
                return {**raw, "arms": arms}
            for suffix, over in _combinations(raw.get("sweep")):
                debias = {"debias": name == PAPER[0]} if name in PAPER else {}
                filled[f"{name}{suffix}"] = merge(merge({**debias, **base}, arm), over)
        swept: dict = {"sweep": {}} if _well_formed(raw.get("sweep", {})) else {}
        return {**raw, "arms": filled, **swept} if filled else {**raw, "arms": arms}

    @field_validator("sweep", mode="before")
    @classmethod
    def _swept(cls, sweep: Any) -> Any:
        """What `_fill_arms` could not spread over the arms is at fault."""
        if isinstance(sweep, dict):
            for path, values in sweep.items():
                if not isinstance(values, list) or not values:
                    raise ValueError(f"{path} is empty or no list of values")
                if len({repr(v) for v in values}) < len(values):
                    raise ValueError(f"{path} names a value twice")
        return sweep

    @model_validator(mode="before")
    @classmethod
    def _published(cls, raw: Any) -> Any:
        """A known data set stands beside its own published numbers."""
        if not isinstance(raw, dict) or raw.get("published_on") is not None:
            return raw
        known = raw.get("dataset")
        return {**raw, "published_on": known if known in PUBLISHED_ON else None}

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        shape = DATASETS.get(self.dataset)
        points = shape is not None and len(shape) == 1
        images = not points
        for spec in SPECS.values():
            if spec.images not in (None, images) and getattr(self, spec.section) is not None:
                has, needs = ("images", "points") if images else ("points", "images")
                raise ValueError(f"{self.dataset} has {has}, but {spec.section} needs {needs}")
        for name, arm in self.arms.items():
            _check_network(self.dataset, shape, arm.network)
            if not ARM.fullmatch(str(name)):
                raise ValueError(
                    f"the arm {name!r} must be at most 80 letters, digits, _, ., = and -, with a "
                    "letter or digit at its end"
                )
            if name in PAPER and arm.debias != (name == "debias-True"):
                raise ValueError(f"the arm {name} has debias {arm.debias}")
        for pair in self.pairs:
            for name in pair:
                if name not in self.arms:
                    raise ValueError(f"pairs names {name!r}; the arms are {', '.join(self.arms)}")
            if pair[0] == pair[1]:
                raise ValueError(f"pairs compares {pair[0]} with itself")
        return self

    @field_validator("arms")
    @classmethod
    def _some_arm(cls, arms: dict) -> dict:
        if not arms:
            raise ValueError("every arm is switched off; leave at least one")
        return arms

    @field_validator("seeds", "pairs")
    @classmethod
    def _unique(cls, values: list) -> list:
        if len(set(values)) < len(values):
            raise ValueError(f"{values} names a value twice")
        return values

    @property
    def compared(self) -> list[tuple[str, str]]:
        """The pairs of arms, first minus second: those named, or by what the arms train (the
        description of pairs has the rule), whatever their names are."""
        if self.pairs:
            return self.pairs
        keys = {name: flat(arm.model_dump()) for name, arm in self.arms.items()}
        papers = [
            (true, false)
            for true, false in product(self.arms, self.arms)
            if _different(keys[true], keys[false]) == {"debias"} and self.arms[true].debias
        ]
        debiased = [name for name, arm in self.arms.items() if arm.debias]
        bases = list(dict.fromkeys(true for true, _ in papers)) or debiased[:1]
        paired = {*bases, *(name for pair in papers for name in pair)}
        others = [name for name in self.arms if name not in paired] if bases else []
        return papers + [
            (name, min(bases, key=lambda base: len(_different(keys[name], keys[base]))))
            for name in others
        ]

    @property
    def claimed(self) -> tuple[str, str] | None:
        """The pair that claims on debiasing are about: the first with debias True minus False."""
        for first, second in self.compared:
            if self.arms[first].debias and not self.arms[second].debias:
                return first, second
        return None


def flat(keys: dict, prefix: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones.

    >>> flat({"debias": True, "sde": {"kind": "vp"}})
    {'debias': True, 'sde.kind': 'vp'}
    """
    dotted: dict[str, Any] = {}
    for name, value in keys.items():
        inner = isinstance(value, dict)
        dotted |= flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return dotted


def _different(a: dict, b: dict) -> set[str]:
    """The keys whose values differ, one that only one of them has included.

    >>> sorted(_different({"lr": 1, "ema": 0}, {"lr": 2, "ema": 0, "law": "paper"}))
    ['law', 'lr']
    """
    return {name for name in a.keys() | b.keys() if a.get(name) != b.get(name)}


def check_law(debias: bool, training: Training) -> None:
    """Raise ValueError when a law that has no bias is to have one."""
    if training.law != "paper" and not debias:
        raise ValueError(f"training.law is {training.law}, which has no bias, but debias is False")


def _check_network(dataset: str, shape: tuple[int, ...] | None, network: Network) -> None:
    """Raise ValueError when a network does not fit a known data set."""
    factor = 2 ** (len(network.multipliers) - 1)
    if shape is None:
        return
    if (network.kind == "mlp") != (len(shape) == 1):
        has, fits = ("points", "mlp") if len(shape) == 1 else ("images", "unet")
        raise ValueError(f"{dataset} has {has}, which need a network of kind {fits}")
    if len(shape) == 3 and shape[1] % factor:
        raise ValueError(
            f"a unet of {len(network.multipliers)} levels needs images of a side divisible by "
            f"{factor}; {dataset} has {shape[1]}"
        )


def _replaces(data: Any) -> bool:
    """Whether it takes known data sets to files."""
    return isinstance(data, dict) and all(
        known in DATASETS and isinstance(path, str) and path.startswith("npz:")
        for known, path in data.items()
    )


def _well_formed(sweep: Any) -> bool:
    """Whether every key has a list of different values."""
    lists = list(sweep.values()) if isinstance(sweep, dict) else [None]
    return all(isinstance(v, list) and v and len({repr(i) for i in v}) == len(v) for v in lists)


def _combinations(sweep: Any) -> Iterator[tuple[str, dict]]:
    """Every combination of swept values: (suffix of an arm's name, overrides)."""
    if not _well_formed(sweep):
        yield "", {}
        return
    for values in product(*sweep.values()):
        over: dict = {}
        for path, value in zip(sweep, values, strict=True):
            *sections, last = str(path).split(".")
            nested: Any = {last: value}
            for section in reversed(sections):
                nested = {section: nested}
            over = merge(over, nested)
        tags = [f"_{str(p).split('.')[-1]}={v!r}" for p, v in zip(sweep, values, strict=True)]
        yield "".join(tags).replace("'", ""), over


class Config(Strict):
    """A whole configuration: a preset with overrides."""

    preset: str = key("demo", "The preset that the other keys are laid over.")
    results: Folder = key("results", "Folder of all results; a preset's are in a folder in it.")
    data_root: Folder = key("data", "Folder of the torchvision sets.")
    device: str = key(
        "auto",
        "cpu, cuda, cuda:N or another kind of torch's; auto takes a GPU if torch sees one.",
        pattern=r"^[a-z]+(:[0-9]+)?$",
    )
    threads: Positive = key(1, "CPU threads of a job, or of each process of a training.")
    gpus: Positive = key(1, "GPUs, or processes on CPUs, that share the batches of a training.")
    container: str | None = key(
        None, "Image of the rules for --sdm apptainer, such as docker://REGISTRY/vdiff:TAG."
    )
    notebook: bool = key(False, "Also run the tutorial notebook.")
    slice_minutes: PositiveFloat | None = key(None, "Cut trainings into jobs of that length.")
    part_iterations: Positive | None = key(
        None,
        "Train in jobs of that many iterations, each from the state that the last one left; a "
        "change trains anew.",
    )
    slices: Positive = key(50, "Maximum number of further jobs for each training cut up.")
    only: list[str] | None = key(None, "Run only the experiments of these names.")
    data: dict[str, str] = key(
        {},
        "Maps data sets to npz:PATH files that are read in their place; an experiment with a data "
        "set's name is then called after the file.",
    )
    experiments: dict[str, Experiment] = Field(
        min_length=1, description="Maps names to experiments."
    )

    @model_validator(mode="before")
    @classmethod
    def _redirected(cls, raw: Any) -> Any:
        """Experiments on sets that data replaces read the files, and no name says otherwise."""
        if not isinstance(raw, dict) or not _replaces(raw.get("data")):
            return raw
        data, experiments = raw["data"], raw.get("experiments")
        if not isinstance(experiments, dict):
            return raw
        renamed: dict = {}
        for name, e in experiments.items():
            known = e.get("dataset") if isinstance(e, dict) else None
            if isinstance(known, str) and known in data:
                beside = {"published_on": known} if known in PUBLISHED_ON else {}
                e = {**beside, **e, "dataset": data[known]}
                name = Path(data[known][4:]).stem if name == known else name
            if name in renamed:
                raise ValueError(f"data gives two experiments the name {name}")
            renamed[name] = e
        return {**raw, "data": {}, "experiments": renamed}

    @field_validator("data")
    @classmethod
    def _replacements(cls, data: dict) -> dict:
        if not _replaces(data):
            raise ValueError(f"it must take any of {', '.join(DATASETS)} to npz:PATH")
        return data

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
                raise ValueError(f"{name!r} must be at most 40 letters, digits and underscores")
        return experiments

    @property
    def folder(self) -> Path:
        """Where the results are."""
        return Path(self.results) / self.preset
