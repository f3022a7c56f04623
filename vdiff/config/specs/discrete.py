"""The probability of the grey levels."""

from vdiff.config.fields import Distinct, Positive, Strict, key
from vdiff.config.specs.spec import Output, Spec


class Discrete(Strict):
    """The probability of the grey levels themselves, a bound that tightens with the draws."""

    images: int = key(
        16, "Use only so many test images: the first, of npz sets evenly spread ones.", ge=2
    )
    draws: Distinct[Positive] = key([1, 8, 64], "Numbers of draws; the largest is what is drawn.")
    layers: int = key(200, "Layers of the model, steps of the sampler `exponential`.", ge=2)
    batch_size: Positive = key(64, "Images at once.")


COLUMNS = {
    "iteration": "optimiser steps so far",
    "images": "test images",
    "layers": "layers of the model",
    "draws": "draws behind each image's bound",
    "bpd": "bound on the bits/dim of the grey levels",
    "bpd_std_err": "its standard error over images",
    "gain": "bits/dim by one draw minus that, paired by image",
    "gain_std_err": "its standard error over images",
    "ess": "effective number of draws, mean over images",
}

SPEC = Spec(
    "discrete",
    "discrete",
    Discrete,
    (Output("out", "discrete.csv", "discrete", COLUMNS),),
    images=True,
)
