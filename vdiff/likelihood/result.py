"""What a likelihood is returned as: a value and an error for each example, and how it was made."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vdiff.errors import needed
from vdiff.stats.intervals import std_err
from vdiff.stats.tails import Tail

Method = Literal["elbo", "ode", "layers", "vdm", "chain"]

FITTED = ("elbo", "vdm", "chain")
"""Those that depend on the last `Model.fit`, in their noise."""


@dataclass(frozen=True, repr=False)
class LogProb:
    """Log likelihoods of N examples in nats, each with its error.

    For each example value ± 1.96 error covers what is estimated in 95% of cases.

    Attributes:
        value: (N,) nats.
        error: (N,) nats; NaN where it cannot be known.
        d: Dimensions of what the likelihood is of, by which bits/dim are counted.
        method: elbo, ode, layers, vdm or chain.
        draws: Draws per example.
        evaluations: Passes of one example through the network, in total.
        fitted_on: What the control variates were fitted on by `Model.fit`: how many examples, or
            samples of the model's own.
        seed: Seed of the noise.
        tail: Tail of the draws about their example's mean, which tells whether the errors can be
            believed; None if there is one draw per example.
        ends_at: The noise level sigma / m below which a bound held the score, or at which VDM's
            decoder stands; otherwise None.
        of: What the likelihood is of, in words.
    """

    value: np.ndarray
    error: np.ndarray
    d: int
    method: Method
    draws: int
    evaluations: int
    fitted_on: str = "nothing"
    seed: int = 0
    tail: Tail | None = None
    ends_at: float | None = None
    of: str = "log p(x)"

    @property
    def bits_per_dim(self) -> np.ndarray:
        """-value / (d ln 2), (N,)."""
        return -self.value / (self.d * math.log(2))

    @property
    def bits_error(self) -> np.ndarray:
        """The error of `bits_per_dim`, (N,)."""
        return self.error / (self.d * math.log(2))

    @property
    def mean(self) -> tuple[float, float]:
        """The mean bits/dim of all examples and its standard error, over examples and noise; of one
        example, its own."""
        z = self.bits_per_dim
        return float(z.mean()), std_err(z) if len(z) > 1 else float(self.bits_error[0])

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        mean, error = self.mean
        how = [f"{self.method}, {self.draws} draw{'s' * (self.draws > 1)} each"]
        if self.method in FITTED:
            how.append(f"fitted on {self.fitted_on}")
        if self.ends_at is not None:
            how.append(f"to sigma / m = {self.ends_at:.2g}")
        if self.tail is not None:
            how.append(f"errors {self.tail.verdict}")
        if self.of != "log p(x)":
            how.insert(0, self.of)
        many = f"{len(self)} example{'s' * (len(self) > 1)}"
        return f"LogProb({many}: {mean:.4f} ± {error:.4f} bits/dim; {'; '.join(how)})"

    def to_pandas(self) -> Any:
        """A data frame with a row for each example and the columns log_prob, std_err (nats), bpd
        and bpd_std_err (bits/dim).
        """
        with needed():
            import pandas as pd
        return pd.DataFrame(
            {
                "log_prob": self.value,
                "std_err": self.error,
                "bpd": self.bits_per_dim,
                "bpd_std_err": self.bits_error,
            }
        )
