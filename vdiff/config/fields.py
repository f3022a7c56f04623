"""The types of the configuration's keys."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

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
    Literal[False, True, "reduce-overhead", "graph"],
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


def number(value: float) -> str:
    """A number as file names and options have it: as short as it can be without loss.

    >>> number(-10.0), number(0.5), number(0.1234567)
    ('-10', '0.5', '0.1234567')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
