"""Small models on the digits."""

from vdiff.config import Run, validate
from vdiff.data import load
from vdiff.trained import Trained

DIGITS = {
    "experiment": "digits", "arm": "debias-True", "dataset": "digits", "debias": True, "seed": 0,
    "network": {"channels": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4, "time_scale": 1000},
}  # fmt: skip


def digits_model(**keys) -> Trained:
    return Trained(validate(Run, {**DIGITS, **keys}), load("digits"))
