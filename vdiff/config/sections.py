"""The sections of a configuration that say what is trained: every key with its type, default and
description. What is measured has its sections in `specs/`.

The defaults are the paper's hyperparameters. The options of the command line and
docs/configuration.md are made from these fields. Nothing here imports torch.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, model_validator

from vdiff.config.fields import Compile, Distinct, Positive, PositiveFloat, Precision, Strict, key


class _Forward(Strict):
    """What all forward SDEs share."""

    T: PositiveFloat = key(1.0, "The horizon: times s lie in [0, T].")
    eps_t: PositiveFloat = key(1e-3, "Below it the debiased time distribution is flat.")

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
    groups: Positive = key(32, "U-Net: maximum number of groups in a GroupNorm.")
    fourier: Distinct[PositiveFloat] | None = key(
        None, "U-Net: angular frequencies at which sin and cos of the image are further inputs."
    )
    linear: bool = key(
        False, "U-Net: add a linear function of each pixel and of the mean colour to the output."
    )
    scale_shift: bool = key(
        False,
        "U-Net: in a block the time scales and shifts what the second norm returns, as in ADM; "
        "else it is added before that.",
    )
    mirrored: bool = key(
        False,
        "U-Net: after training the drift is its mean over an image and its mirror image, for twice "
        "the time; for images that are as likely mirrored.",
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
        if self.mirrored and self.kind != "unet":
            raise ValueError("mirrored is true, which is for images (kind unet)")
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
    decay: float = key(0.0, "Final share of the iterations, in which they fall to 0.", ge=0, le=1)
    ema: float = key(0.0, "Decay of the averaged weights; 0 for none.", ge=0, lt=1)
    ema_warmup: bool = key(False, "Average the first weights faster: decay (1 + i) / (10 + i).")
    law: Literal["paper", "unbiased", "fitted"] = key(
        "paper",
        "Distribution of the times; paper: that of debias; unbiased: debiased, with the ELBO's "
        "weights below eps_t too; fitted: fitted to the gradients, with the ELBO's weights.",
    )
    draws: Literal["independent", "low_discrepancy"] = key(
        "independent", "Times of a batch; low_discrepancy has one in each of equal strata."
    )
    draws_per_image: Positive = key(
        1, "Times and noises for each example of a batch; a step costs that many times as much."
    )
    flip: bool = key(False, "Flip half of the training images.")
    real: bool = key(True, "Take images to R^d by the logit, otherwise to [-1, 1].")
    micro_batch: Positive | None = key(
        None, "Maximum number of examples at once; their gradients add up to the batch's."
    )
    precision: Precision = key("tf32", "Precision of the network's products in training.")
    compile: Compile = key(
        False,
        "Compile the network by torch.compile; reduce-overhead: on GPUs with CUDA graphs, too; "
        "graph: uncompiled, but on GPUs training, and passes after it, are replayed as CUDA "
        "graphs. With graphs there is no promise of the same bytes after a resume.",
    )
    log_every: Positive = key(100, "Write a row of train.csv every so many iterations.")
    snapshot_every: Positive = key(2000, "Keep the weights every so many iterations.")
    checkpoint_every: Positive = key(2000, "Save the state every so many iterations.")
