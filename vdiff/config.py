"""Typed run configuration: presets, overrides and their validation.

The defaults are the paper's hyperparameters. Unknown keys, wrong types and impossible values
raise VdiffError with one sentence that names the key, the value and what is allowed.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from vdiff.errors import VdiffError

PRESETS = Path(__file__).parents[1] / "workflow" / "config"
DATASETS = ("swissroll", "digits", "photos", "mnist", "cifar10")


def _known(name: str) -> str:
    if name not in DATASETS and not name.startswith("npz:"):
        raise ValueError(f"it must be one of {', '.join(DATASETS)}, npz:PATH")
    return name


Dataset = Annotated[str, AfterValidator(_known)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
Lambda = Annotated[float, Field(le=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class SDE(Strict):
    """The forward SDE and the truncation of the debiased law of time."""

    beta_min: PositiveFloat = 0.1
    beta_max: PositiveFloat = 20.0
    T: PositiveFloat = 1.0
    eps_t: PositiveFloat = 1e-3

    @model_validator(mode="after")
    def _ordered(self):
        if self.beta_max < self.beta_min:
            raise ValueError(f"beta_max is {self.beta_max}, below beta_min {self.beta_min}")
        if self.eps_t >= self.T:
            raise ValueError(f"eps_t is {self.eps_t}; it must be below T, {self.T}")
        return self


class Network(Strict):
    kind: Literal["unet", "mlp"] = "unet"
    hidden: list[Positive] = [128, 128, 128]
    channels: Annotated[int, Field(ge=4)] = 32
    multipliers: list[Positive] = [1, 2, 2]
    blocks: Positive = 2
    attention: list[Positive] = [16]
    time_scale: PositiveFloat = 1.0
    groups: Positive = 32
    parameterisation: Literal["drift", "score"] = "drift"


PRECISIONS = ("float32", "tf32", "bfloat16")


class Training(Strict):
    """iterations counts optimiser steps; the `every` keys count them too.

    micro_batch: at most so many examples at once, their gradients added up to a batch's.
    """

    iterations: Positive = 100_000
    batch_size: Positive = 128
    lr: PositiveFloat = 1e-4
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    flip: bool = False
    real: bool = True
    micro_batch: Positive | None = None
    precision: Literal[*PRECISIONS] = "tf32"
    compile: bool = False
    log_every: Positive = 100
    snapshot_every: Positive = 2000
    checkpoint_every: Positive = 2000


class Evaluation(Strict):
    """passes, target_se (bits/dim) and pilot belong to the efficient estimator.

    pilot counts the training draws that fit it; the published estimator has one pass.
    """

    estimators: list[Literal["published", "efficient"]] = Field(["published"], min_length=1)
    images: Positive | None = None
    passes: Positive = 2
    pilot: Annotated[int, Field(ge=64)] = 2048
    target_se: PositiveFloat | None = None
    probe: Literal["rademacher", "gaussian"] = "rademacher"
    batch_size: Positive = 256
    precision: Literal[*PRECISIONS] = "float32"


class ODE(Strict):
    """The exact likelihood of the ODE, lmbd = 1; tolerance is the solver's rtol and atol."""

    images: Annotated[int, Field(ge=2)] = 64
    tolerance: PositiveFloat = 1e-4
    batch_size: Positive = 64


class Variance(Strict):
    """draws: of each ELBO estimator; batches: of training examples, for the gradients."""

    draws: Annotated[int, Field(ge=100)] = 20_000
    batches: Annotated[int, Field(ge=20)] = 400
    batch_size: Positive = 64


SAMPLERS = (
    "euler_maruyama", "exponential", "multistep", "heun", "stochastic_heun", "adaptive"
)  # fmt: skip
GRIDS = ("uniform", "quadratic", "log_snr")


class Integration(Strict):
    """How the reverse SDE is solved; the defaults are the paper's."""

    sampler: Literal[*SAMPLERS] = "euler_maruyama"
    grid: Literal[*GRIDS] = "uniform"
    steps: Positive = 1000
    frames: Annotated[int, Field(ge=0)] = 0


class Sampling(Integration):
    """frames counts the pictures of the animation, 0 for none."""

    count: Positive = 16
    lmbd: Lambda = 0.0
    batch_size: Positive = 64

    @model_validator(mode="after")
    def _ode(self):
        if self.sampler in ("heun", "adaptive") and self.lmbd != 1:
            raise ValueError(f"the sampler {self.sampler} needs lmbd 1, not {self.lmbd:g}")
        return self


class Distances(Strict):
    """How far the samples of each lambda are from the data and from those of lambda 0.

    steps: the numbers of steps to try; permutations and resamples: of the test and the interval.
    """

    lmbds: list[Lambda] = [-10, -0.9, 0, 0.5, 0.9, 1]
    steps: list[Positive] = [10, 30, 100, 300, 1000]
    samplers: list[Literal[*SAMPLERS]] = ["euler_maruyama", "multistep"]
    samples: Annotated[int, Field(ge=100)] = 2000
    permutations: Annotated[int, Field(ge=19)] = 199
    resamples: Annotated[int, Field(ge=19)] = 200


class Trajectory(Integration):
    """The lambda family on data in the plane (figure 5 of the paper)."""

    lmbds: list[Lambda] = [-10, -0.99, -0.9, -0.5, 0, 0.5, 0.9, 0.99, 1]
    samples: Positive = 100_000
    columns: list[Positive] = [*range(820, 1001, 20)]
    strip_columns: list[Positive] = [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]
    bins: Positive = 256
    extent: PositiveFloat = 5.0

    @model_validator(mode="after")
    def _columns_exist(self):
        beyond = [i for i in self.columns + self.strip_columns if i > self.steps]
        if beyond:
            raise ValueError(f"column {beyond[0]} lies beyond the last step, {self.steps}")
        return self


class Experiment(Strict):
    """One data set; lrs, a list of learning rates, makes an experiment of each (a sweep)."""

    dataset: Dataset
    debias: list[bool] = Field([False, True], min_length=1)
    seeds: list[Seed] = Field([0], min_length=1)
    lrs: list[PositiveFloat] | None = Field(None, min_length=1)
    sde: SDE = SDE()
    network: Network = Network()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    likelihood: ODE | None = None
    variance: Variance | None = None
    sampling: Sampling | None = None
    trajectory: Trajectory | None = None
    distances: Distances | None = None

    @field_validator("debias", "seeds", "lrs")
    @classmethod
    def _unique(cls, values):
        if values and len(set(values)) < len(values):
            raise ValueError(f"{values} names a value twice")
        return values


class Config(Strict):
    """only names the experiments to run, of those that there are; all without it.

    slice_minutes cuts trainings into jobs of that length, at most `slices` more for each.
    """

    preset: str = "demo"
    results: str = "results"
    data_root: str = "data"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Positive = 1
    notebook: bool = False
    slice_minutes: PositiveFloat | None = None
    slices: Positive = 50
    only: list[str] | None = None
    experiments: dict[str, Experiment] = Field(min_length=1)

    @field_validator("experiments")
    @classmethod
    def _names(cls, experiments):
        for name in experiments:
            if not re.fullmatch(r"[A-Za-z0-9_]+", name):
                raise ValueError(f"{name!r} must be letters, digits and underscores")
        return experiments

    @property
    def folder(self) -> Path:
        return Path(self.results) / self.preset


class Run(Strict):
    """Everything that determines one training run; `key` names its state folder."""

    experiment: str
    dataset: Dataset
    debias: bool
    seed: Seed
    sde: SDE = SDE()
    network: Network = Network()
    training: Training = Training()

    @property
    def key(self) -> str:
        """A hash of all that changes the course of training; its length does not."""
        content = self.model_dump(exclude={"experiment": True, "training": LENGTH_ONLY})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


LENGTH_ONLY = {"iterations", "log_every", "snapshot_every", "checkpoint_every"}


def run_of(config: Config, experiment: str, debias: bool, seed: int) -> Run:
    """The run of one experiment at one setting; the experiment must exist."""
    if experiment not in config.experiments:
        raise VdiffError(
            f"The preset {config.preset} has no experiment {experiment!r}; "
            f"it has {', '.join(config.experiments)}."
        )
    e = config.experiments[experiment]
    return Run(
        experiment=experiment,
        dataset=e.dataset,
        debias=debias,
        seed=seed,
        sde=e.sde,
        network=e.network,
        training=e.training,
    )


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_config(overrides: dict | None = None) -> Config:
    """The preset that `overrides` names (demo if none), with the overrides merged over it."""
    overrides = dict(overrides or {})
    preset = overrides.get("preset", "demo")
    path = PRESETS / f"{preset}.yaml"
    if not isinstance(preset, str) or not path.is_file():
        raise VdiffError(f"preset is {preset!r}; it must be one of {', '.join(preset_names())}.")
    base = read_yaml(path)
    config = validate(Config, merge(base, {**overrides, "preset": preset}))
    config = config.model_copy(update={"experiments": _swept(config.experiments)})
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


def _swept(experiments: dict[str, Experiment]) -> dict[str, Experiment]:
    """Every experiment with lrs replaced by one for each, such as mnist_lr0p001."""
    found = {}
    for name, e in experiments.items():
        if e.lrs is None:
            found[name] = e
            continue
        for lr in e.lrs:
            training = e.training.model_copy(update={"lr": lr})
            tag = f"{lr:g}".replace(".", "p").replace("-", "m").replace("+", "")
            found[f"{name}_lr{tag}"] = e.model_copy(update={"lrs": None, "training": training})
    return found


def read_yaml(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise VdiffError(f"{path} cannot be read as YAML: {str(error).splitlines()[0]}.") from None
    if not isinstance(content, dict):
        raise VdiffError(f"{path} must hold a YAML mapping of keys to values.")
    return content


def read_run(path: Path) -> Run:
    """A run file as `vdiff configure` writes it."""
    return validate(Run, read_yaml(path))


def merge(base: dict, over: dict) -> dict:
    """base with over laid on top, mapping by mapping."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = merge(merged[key], value)
        merged[key] = value
    return merged


def validate(model, content: dict):
    """content as an instance of the model; the first fault becomes a VdiffError."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise VdiffError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """The first fault of a validation, as one sentence."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"]) or "configuration"
    if fault["type"] == "extra_forbidden":
        return f"The configuration key {key} is unknown; see the presets in workflow/config."
    if fault["type"] == "missing":
        return f"The configuration key {key} is missing."
    value = fault["input"]
    shown = repr(value) if not isinstance(value, dict) else "a mapping"
    message = fault["msg"].removeprefix("Value error, ")
    return f"The configuration key {key} is {shown}: {message[0].lower()}{message[1:]}."
