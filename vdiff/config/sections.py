"""The sections of a configuration: every key with its type, default and description.

The defaults are the paper's hyperparameters. The options of the command line and
docs/configuration.md are made from these fields. Nothing here imports torch.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

DATASETS: dict[str, tuple[int, ...]] = {
    "swissroll": (2,),
    "digits": (1, 8, 8),
    "photos": (3, 32, 32),
    "mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
}
"""The sets that are known by name, with the shape of an example."""


def _known(name: str) -> str:
    if name.startswith("npz:") and len(name) > 4:
        return f"npz:{Path(name[4:]).expanduser()}"
    if name not in DATASETS:
        raise ValueError(f"it must be one of {', '.join(DATASETS)}, npz:PATH")
    return name


def _distinct(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError("it names a value twice")
    return values


Dataset = Annotated[str, AfterValidator(_known)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
Lambda = Annotated[float, Field(ge=-100, le=1)]
Item = TypeVar("Item")
Distinct = Annotated[list[Item], Field(min_length=1), AfterValidator(_distinct)]
Compile = Annotated[
    Literal[False, True, "reduce-overhead"],
    BeforeValidator(lambda v: {"true": True, "false": False}.get(str(v).lower(), v)),
]
Precision = Literal["float32", "tf32", "bfloat16"]
Probe = Literal["rademacher", "gaussian"]
Estimator = Literal["published", "efficient"]
Sampler = Literal[
    "euler_maruyama", "exponential", "multistep", "heun", "stochastic_heun", "adaptive"
]
ODE_SAMPLERS = ("heun", "adaptive")  # they need lmbd 1
Grid = Literal["uniform", "quadratic", "log_snr"]


def key(default: Any, description: str, **constraints: Any) -> Any:
    """A field with its description."""
    return Field(default, description=description, **constraints)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class _Forward(Strict):
    """What all forward SDEs share."""

    T: PositiveFloat = key(1.0, "The horizon: times s lie in [0, T].")
    eps_t: PositiveFloat = key(1e-3, "Below it the debiased law of time is flat.")

    @model_validator(mode="after")
    def _truncated(self):
        if self.eps_t >= self.T:
            raise ValueError(f"eps_t is {self.eps_t}; it must be below T, {self.T}")
        return self


class VP(_Forward):
    """The variance-preserving SDE of the paper: beta grows linearly."""

    kind: Literal["vp"] = key("vp", "The schedule: vp or cosine.")
    beta_min: PositiveFloat = key(0.1, "beta at s = 0.")
    beta_max: PositiveFloat = key(20.0, "beta at s = 1.")

    @model_validator(mode="after")
    def _ordered(self):
        if self.beta_max < self.beta_min:
            raise ValueError(f"beta_max is {self.beta_max}, below beta_min {self.beta_min}")
        return self


class Cosine(_Forward):
    """The variance-preserving SDE of the cosine schedule."""

    kind: Literal["cosine"] = key("cosine", "The schedule: vp or cosine.")
    end: PositiveFloat = key(0.01, "The scale m that is left of x at T.", lt=1)


def _kind(value: Any) -> str:
    return value.get("kind", "vp") if isinstance(value, dict) else getattr(value, "kind", "vp")


Forward = Annotated[
    Annotated[VP, Tag("vp")] | Annotated[Cosine, Tag("cosine")], Discriminator(_kind)
]


class Network(Strict):
    """The network that is the drift a(y, s)."""

    kind: Literal["unet", "mlp"] = key("unet", "A U-Net for images, an MLP for points.")
    hidden: list[Positive] = key([128, 128, 128], "MLP: the widths of its hidden layers.")
    channels: int = key(32, "U-Net: channels of the first level; even.", ge=4, multiple_of=2)
    multipliers: list[Positive] = key(
        [1, 2, 2], "U-Net: channels of each level in these units.", min_length=1
    )
    blocks: Positive = key(2, "U-Net: residual blocks per level.")
    attention: list[Positive] = key([16], "U-Net: image sides that have self-attention.")
    time_scale: PositiveFloat = key(
        1.0, "U-Net: s is multiplied by it before the embedding; 1000 as in DDPM."
    )
    groups: Positive = key(32, "U-Net: at most so many groups in a GroupNorm.")
    fourier: Distinct[PositiveFloat] | None = key(
        None, "U-Net: angular frequencies at which sin and cos of the image are further inputs."
    )
    linear: bool = key(
        False, "U-Net: add a linear function of each pixel and of the mean colour to the output."
    )
    parameterisation: Literal["drift", "score", "noise", "levels"] = key(
        "drift",
        "What the network outputs: a itself, the score a / g, the noise -a sigma / g, or levels, "
        "for images: a part of a, and log-odds of each pixel's groups of grey levels.",
    )
    level_groups: int = key(9, "Groups of grey levels of the parameterisation levels.", ge=2)

    @model_validator(mode="after")
    def _of_images(self):
        if self.parameterisation == "levels" and self.kind != "unet":
            raise ValueError("parameterisation is levels, which is for images (kind unet)")
        return self


class Training(Strict):
    """Score matching, by default exactly as in the paper. Iterations are optimiser steps."""

    iterations: Positive = key(100_000, "How many optimiser steps to take.")
    batch_size: Positive = key(128, "Examples per step.")
    lr: PositiveFloat = key(1e-4, "Step size of Adam.")
    optimiser: Literal["adam", "adamw", "muon"] = key(
        "adam", "Muon takes weight matrices and convolutions, AdamW the rest with step size lr."
    )
    muon_lr: PositiveFloat = key(0.01, "Step size of Muon.")
    weight_decay: float = key(0.0, "Of AdamW and Muon.", ge=0, lt=1)
    warmup: int = key(0, "Iterations in which the step sizes grow from 0.", ge=0)
    decay: float = key(0.0, "Last share of iterations, in which they fall to 0.", ge=0, le=1)
    ema: float = key(0.0, "Decay of the averaged weights; 0 for none.", ge=0, lt=1)
    ema_warmup: bool = key(False, "Average the first weights faster: decay (1 + i) / (10 + i).")
    law: Literal["paper", "fitted"] = key(
        "paper", "Times of the law of debias, or fitted to the gradients, with the ELBO's weights."
    )
    draws: Literal["independent", "low_discrepancy"] = key(
        "independent", "Times of a batch; low_discrepancy has one in each of equal strata."
    )
    draws_per_image: Positive = key(
        1, "Times and noises for each example of a batch; a step costs as many times as much."
    )
    flip: bool = key(False, "Flip half of the training images.")
    real: bool = key(True, "Take images to R^d by the logit, otherwise to [-1, 1].")
    micro_batch: Positive | None = key(
        None, "At most so many examples at once; their gradients add up to the batch's."
    )
    precision: Precision = key("tf32", "Of the network's products in training.")
    compile: Compile = key(
        False,
        "Compile the network by torch.compile; reduce-overhead: on GPUs with CUDA graphs, too, and "
        "then without the promise of the same bytes after a resume.",
    )
    log_every: Positive = key(100, "Write a row of train.csv every so many iterations.")
    snapshot_every: Positive = key(2000, "Keep the weights every so many iterations.")
    checkpoint_every: Positive = key(2000, "Save the state every so many iterations.")


BACKWARD = 2  # forward passes' worth of a gradient, beside the forward pass itself
ODE_EVALUATIONS = 200  # of the two tolerances of an exact likelihood, about
TIME_SLICES = 32  # of which each has its gradient measured, at two iterations


class Measurement(Strict):
    """A section that is measured on trained networks, and what it costs."""

    def cost(self, snapshots: int, test: int) -> float:
        """Forward passes of one example, for a run with so many snapshots and test examples."""
        raise NotImplementedError


class Evaluation(Measurement):
    """Bits/dim on the test set, with standard errors, for every snapshot of a run."""

    estimators: Distinct[Estimator] = key(["published"], "Which estimators of the ELBO to use.")
    images: int | None = key(None, "Use only the first test images; all by default.", ge=2)
    passes: Positive = key(2, "Passes of the efficient estimator over the test images.")
    pilot: int = key(2048, "Training draws that fit the efficient estimator.", ge=64)
    target_se: PositiveFloat | None = key(
        None, "Instead of passes: go on until this Monte-Carlo error, in bits/dim."
    )
    probe: Probe = key("rademacher", "Hutchinson probe of the published estimator.")
    batch_size: Positive = key(256, "Images at once.")
    precision: Precision = key("float32", "Of the network's products in evaluation.")
    last: bool = key(False, "Evaluate only the last snapshot.")

    def cost(self, snapshots: int, test: int) -> float:
        n = min(self.images or test, test)
        each = {"published": n * (1 + BACKWARD), "efficient": n * self.passes + self.pilot}
        return (1 if self.last else snapshots) * sum(each[name] for name in self.estimators)


class Likelihood(Measurement):
    """The exact likelihood of the probability-flow ODE beside the ELBO, for the last snapshot."""

    images: int = key(64, "Use only the first test images.", ge=2)
    tolerance: PositiveFloat = key(1e-4, "rtol and atol of the ODE solver.")
    passes: Positive = key(16, "Passes of the efficient estimator of the ELBO.")
    pilot: int = key(2048, "Training draws that fit the efficient estimator.", ge=64)
    batch_size: Positive = key(64, "Images at once.")

    def cost(self, snapshots: int, test: int) -> float:
        n = min(self.images, test)
        return n * ODE_EVALUATIONS * (1 + BACKWARD) + n * self.passes + self.pilot


class Discrete(Measurement):
    """The probability of the grey levels themselves, a bound that tightens with the draws."""

    images: int = key(16, "Use only the first test images.", ge=2)
    draws: Distinct[Positive] = key([1, 8, 64], "Numbers of draws; the largest are all drawn.")
    layers: int = key(200, "Layers of the model, steps of the sampler `exponential`.", ge=2)
    batch_size: Positive = key(64, "Images at once.")

    def cost(self, snapshots: int, test: int) -> float:
        return min(self.images, test) * max(self.draws) * self.layers


class Variance(Measurement):
    """Where in time each ELBO estimator has its variance; bias and variance of the gradients."""

    draws: int = key(20_000, "Draws of each ELBO estimator.", ge=100)
    pilot: int = key(2048, "Training draws that fit the efficient estimator.", ge=64)
    batches: int = key(50, "Batches in each slice of time behind its gradient.", ge=10)
    batch_size: Positive = key(64, "Training examples per batch.")

    def cost(self, snapshots: int, test: int) -> float:
        gradients = 2 * TIME_SLICES * (1 + BACKWARD) * self.batches * self.batch_size
        return self.draws * (2 + BACKWARD) + self.pilot + gradients


class Integration(Measurement):
    """How the reverse SDE is solved; the defaults are the paper's."""

    sampler: Sampler = key("euler_maruyama", "The solver.")
    grid: Grid = key("uniform", "The grid of times.")
    steps: Positive = key(1000, "Steps of the solver.")
    frames: int = key(0, "Pictures of the way, for an animation; 0 for none.", ge=0)


class Sampling(Integration):
    """Images sampled from the last snapshot of a run."""

    count: Positive = key(16, "How many images to sample.")
    lmbd: Lambda = key(0.0, "Member of the lambda family, at most 1.")
    batch_size: Positive = key(64, "Images at once.")

    def cost(self, snapshots: int, test: int) -> float:
        return self.count * self.steps

    @model_validator(mode="after")
    def _ode(self):
        if self.sampler in ODE_SAMPLERS and self.lmbd != 1:
            raise ValueError(f"the sampler {self.sampler} needs lmbd 1, not {self.lmbd:g}")
        return self


class Quality(Sampling):
    """How good many samples are, by a fast sampler, in features learned on the same data."""

    sampler: Sampler = key("multistep", "The solver.")
    grid: Grid = key("log_snr", "The grid of times.")
    steps: Positive = key(30, "Steps of the solver.")
    count: int = key(1000, "How many images to sample.", ge=20)
    batch_size: Positive = key(250, "Images at once.")
    real: int = key(1000, "Test images to compare with, at most.", ge=20)
    feature_steps: int = key(600, "Steps in which the features are learned.", ge=0)


class Distances(Measurement):
    """How far samples are from the data and from those of lambda 0, by lambda and steps."""

    lmbds: Distinct[Lambda] = key([-10, -0.9, 0, 0.5, 0.9, 1], "Members of the lambda family.")
    steps: Distinct[Positive] = key([10, 30, 100, 300, 1000], "Numbers of steps to try.")
    samplers: Distinct[Sampler] = key(["euler_maruyama", "multistep"], "Solvers to try.")
    samples: int = key(2000, "Points per sample.", ge=100)
    permutations: int = key(199, "Permutations of the test of equal laws.", ge=19)
    resamples: int = key(200, "Resamples behind a bootstrap interval.", ge=19)

    def cost(self, snapshots: int, test: int) -> float:
        """The exact source runs no network; beside the lambdas, lambda 0 is sampled once more."""
        draws = (len(self.lmbds) + 1) * len(self.samplers)
        return draws * self.samples * sum(self.steps)


class Forms(Measurement):
    """The forms of score matching (denoising, implicit, sliced, explicit) along training."""

    draws: int = key(4096, "Training draws behind each form.", ge=100)
    checkpoints: int = key(4, "Snapshots to measure, evenly spread, the first and last.", ge=2)
    batch_size: Positive = key(256, "Draws at once.")

    def cost(self, snapshots: int, test: int) -> float:
        return min(self.checkpoints, snapshots) * self.draws * (2 + BACKWARD)


class Theory(Measurement):
    """The paper's identities on a mixture of Gaussians whose drift is known."""

    errors: Distinct[float] = key(
        [0, 0.2, 0.4], "Sizes of the error that is added to the true drift."
    )
    paths: int = key(8_000, "Paths of the Feynman-Kac expectation.", ge=100)
    path_steps: Positive = key(150, "Steps of a path.")
    flow_points: int = key(500, "Points whose density the ODE computes.", ge=10)
    lmbds: Distinct[Lambda] = key(
        [-10, -2, -0.9, 0, 0.5, 0.9], "Members whose bound is compared with their value."
    )
    layers: Positive = key(256, "Layers of the smallest hierarchical VAE.")
    doublings: int = key(3, "How often their number is doubled.", ge=2)
    layer_points: int = key(500, "Points behind the layers' bounds.", ge=20)

    def cost(self, snapshots: int, test: int) -> float:
        """The layers alone run the network."""
        return self.layer_points * self.layers * (2 ** (self.doublings + 1) - 1)


class Trajectory(Integration):
    """2-D histograms of the states of one lambda along its way (figure 5 of the paper)."""

    lmbds: Distinct[Lambda] = key(
        [-10, -0.99, -0.9, -0.5, 0, 0.5, 0.9, 0.99, 1], "Members of the lambda family."
    )
    samples: Positive = key(100_000, "Points per lambda.")
    columns: Distinct[Positive] = key(
        [*range(820, 1001, 20)], "Steps after which the grid shows the state."
    )
    strip_columns: Distinct[Positive] = key(
        [*range(100, 1001, 100)], "Steps after which the two strips show it."
    )
    bins: Positive = key(256, "Bins of a histogram on each axis.")
    extent: PositiveFloat = key(5.0, "Histograms cover [-extent, extent] on both axes.")

    def cost(self, snapshots: int, test: int) -> float:
        return len(self.lmbds) * self.samples * self.steps

    @model_validator(mode="after")
    def _columns_exist(self):
        beyond = [i for i in self.columns + self.strip_columns if i > self.steps]
        if beyond:
            raise ValueError(f"column {beyond[0]} lies beyond the last step, {self.steps}")
        return self

    @model_validator(mode="after")
    def _strips(self):
        missing = [v for v in (0, 1) if v not in self.lmbds]
        if missing:
            raise ValueError(f"lmbds lacks {missing[0]}; the strips show lambda 0 and 1")
        return self


class Measurements(Strict):
    """What is measured on a trained network; a section that is absent or null is switched off."""

    evaluation: Evaluation = key(Evaluation(), "Bits/dim along training.")
    likelihood: Likelihood | None = key(None, "Exact likelihood of the ODE.")
    discrete: Discrete | None = key(None, "Probability of the grey levels.")
    variance: Variance | None = key(None, "Variance of estimators and gradients.")
    sampling: Sampling | None = key(None, "Sampled images.")
    quality: Quality | None = key(None, "How good many samples are.")
    trajectory: Trajectory | None = key(None, "The lambda family, figure 5.")
    distances: Distances | None = key(None, "Distances of samples to the data.")
    forms: Forms | None = key(None, "The forms of score matching along training.")
    theory: Theory | None = key(None, "The paper's identities on a mixture.")
