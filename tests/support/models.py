"""Small models: on the digits, and those of a benchmark made smaller."""

from vdiff.config import Run, validate
from vdiff.data import load
from vdiff.trained import Trained

DIGITS = {
    "experiment": "digits", "arm": "debias-True", "dataset": "digits", "debias": True, "seed": 0,
    "network": {"channels": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4, "time_scale": 1000},
}  # fmt: skip


def digits_model(**keys) -> Trained:
    return Trained(validate(Run, {**DIGITS, **keys}), load("digits"))


def halved(nets: dict) -> dict:
    """The networks of benchmarks/gpu.py on images of half the side: of whole ones the covariance
    takes most of the time of a tiny net."""
    return {name: ((c, n // 2, n // 2), keys) for name, ((c, n, _), keys) in nets.items()}
