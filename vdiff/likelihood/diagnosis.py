"""Whether a network is what it is said to be, in sentences, from how it denoises the data.

Under a wrong claim, too, a network denoises a little, so it is asked whether it denoises better
when told another time, or when taken for something else. Measured with five networks on 8x8 digits,
the error at the claimed time is up to 1.03 times that at the best if the claim is right, and below
1.1 for 63 that were hardly trained; of wrong claims it is 1.0 to 6.3. A UNet of 300 steps with
DDPM's linear table loses 0.66 bits/dim as cosine, 0.9 as a velocity and 7 in the wrong range; an
exact denoiser loses 2 to 14 by another table.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from vdiff.diffusion.ode import check_gradient
from vdiff.errors import VdiffError, needed
from vdiff.likelihood.conditions import Conditions, conditions_of
from vdiff.likelihood.network import check_repeats, modules_of, noise_at_unit, precision_of
from vdiff.likelihood.scan import LEAST, SHIFTS, Claim, Probe, by_shift, claims, ends, spread_levels

if TYPE_CHECKING:
    from vdiff.likelihood.model import Model

WORSE = 1.5  # times the squared error of a linear denoiser, above which a network is none
SLIPS = 0.05  # of the noise's variance, that a network may miss
RATIO = (1.1, 1.25)  # error to that at a better time: likely, certain. Right claims: below 1.1
GAIN = (0.01, 0.06)  # nats/dim by another claim: likely, certain. Right claims: to 0.036
NAMED = 0.002  # nats/dim, above which a claim is named where the times are wrong
HINT = 1.05  # ratio above which other claims are tried
LITTLE = 0.002  # nats/dim and unit of log SNR, below which no time is better
DEAF = 0.02  # relative change of errors, below which a network does not listen to its time
LEVELS, CHECKED = 9, 7
Severity = Literal["certain", "likely", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: times, claim, denoiser, low noise, output, mode, random, gradient or precision.
        severity: certain, which `fit` refuses, likely, of which it warns, or note.
        sentence: What was found.
    """

    kind: str
    severity: Severity
    sentence: str


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """How well a network denoises at L levels of noise, and what that says about it.

    Attributes:
        log_nsr: (L,) log(sigma^2 / m^2).
        error: (L,) mean squared error of a coordinate of x-hat.
        linear: (L,) that of the linear denoiser that knows each coordinate's mean and variance.
        shift: (L,) the shift of log NSR whose time, told to the network, makes it denoise best.
        told: (L,) its error when told that time; NaN for a model that cannot be told another.
        d: Dimensions of an example.
        findings: What was found, the worst first.
    """

    log_nsr: np.ndarray
    error: np.ndarray
    linear: np.ndarray
    shift: np.ndarray
    told: np.ndarray
    d: int
    findings: tuple[Finding, ...] = ()

    @property
    def ratio(self) -> np.ndarray:
        """(L,): the error at the claimed time divided by that at the best."""
        return self.error / self.told

    @property
    def nats(self) -> np.ndarray:
        """(L,): nats per example and unit of log SNR spent at each level."""
        return self.d * self.error / (2 * np.exp(self.log_nsr))

    def to_pandas(self) -> Any:
        """A data frame with a row for each level."""
        with needed():
            import pandas as pd
        return pd.DataFrame(
            {
                "noise": np.exp(self.log_nsr / 2),
                "error": self.error,
                "linear": self.linear,
                "shift": self.shift,
                "shifted_error": self.told,
                "ratio": self.ratio,
                "nats_per_log_snr": self.nats,
            }
        )

    def plot(self) -> Any:
        """A figure of both errors and of the nats, over the noise level."""
        with needed():
            import matplotlib.pyplot as plt
        figure, (top, bottom) = plt.subplots(2, sharex=True, layout="constrained")
        noise = np.exp(self.log_nsr / 2)
        top.loglog(noise, self.error**0.5, "o-", color="#0072b2", label="network")
        top.loglog(noise, self.linear**0.5, "s--", color="#d55e00", label="linear denoiser")
        top.set_ylabel("root mean square\nerror of x-hat (data units)")
        top.legend()
        bottom.plot(noise, self.nats / self.d, "o-", color="#0072b2")
        bottom.set(xlabel="noise level sigma / m (data units)", xscale="log", yscale="log")
        bottom.set_ylabel("nats per dimension\nand unit of log SNR")
        return figure

    def __repr__(self) -> str:
        lines = [f"{f.severity}: {f.sentence}" for f in self.findings]
        return "\n".join(lines or ["Nothing was found that speaks against what the network is."])


def diagnose(
    model: "Model", x: Any, condition: Any = None, *, seed: int = 0, batch_size: int = 256
) -> Diagnosis:
    """All that can be found of a model on examples x (N, ...); `Model.diagnose` has the rest."""
    x = model.space.examples(x)
    if len(x) < LEAST:
        raise VdiffError(f"There are {len(x)} examples; a diagnosis needs at least {LEAST}.")
    conditions = conditions_of(condition, len(x))
    scan, probe = _scanned(model, x, conditions, seed, batch_size, LEVELS, True)
    findings = [*scan.findings, *_network(model, probe)]
    order = ("certain", "likely", "note")
    findings.sort(key=lambda f: order.index(f.severity))
    return replace(scan, findings=tuple(findings))


def check(model: "Model", x: Tensor, condition: Conditions, seed: int, batch_size: int) -> None:
    """Raise VdiffError of what is certain, warn of what is likely. It looks at no more than 256
    examples, fewer in many dimensions but at least 32: 73 passes each, and some 150 more where
    something is suspicious."""
    findings = _scanned(model, x, condition, seed, batch_size, CHECKED, False)[0].findings
    if any(f.severity == "certain" for f in findings):
        said = [f.sentence for f in findings if f.severity != "note"]
        raise VdiffError(" ".join([*said, "(check=False goes on regardless.)"]))
    for finding in findings:
        if finding.severity == "likely":
            warnings.warn(finding.sentence, stacklevel=3)


def _scanned(
    model: "Model", x: Tensor, condition: Conditions, seed: int, batch_size: int, many: int,
    full: bool,
) -> tuple[Diagnosis, Probe]:  # fmt: skip
    probe, levels = Probe.of(model, x, condition, seed, batch_size), spread_levels(model, many)
    error, linear = probe.errors(model, levels), probe.linear(levels)
    shift, told = np.zeros(many), np.full(many, np.nan)
    if model.given is not None:
        errors = np.concatenate([error[None], by_shift(model, probe, levels)])
        best = np.where(np.isfinite(errors), errors, np.inf).argmin(0)
        shift, told = np.array([0.0, *SHIFTS])[best], errors[best, np.arange(many)]
    findings = _denoiser(levels, error, linear, float(probe.var.mean()))
    findings += _times(levels, error, told, shift)
    if model.given is not None:
        # Reasons to look further, too weak to be findings: its times all look the same to it, or
        # others look a little better.
        deaf = bool((np.abs(errors / error - 1) < DEAF).all())
        better = bool((_ratio(levels, error, told) > HINT).any())
        other = _claim(claims(model, x, probe, full=False), GAIN[0])
        if other or findings or deaf or better or full:
            wrong = any(f.kind == "times" for f in findings)  # then even a little says what fits
            other = _claim(claims(model, x, probe), NAMED if wrong else GAIN[0])
        findings = other + findings
    scan = Diagnosis(levels, error, linear, shift, told, model.space.d, tuple(findings))
    return scan, probe


def _denoiser(
    levels: np.ndarray, error: np.ndarray, linear: np.ndarray, var: float
) -> list[Finding]:
    """Where the network is worse than a line; it is certain that it is none where it is worse than
    leaving the noise in and than the data's mean, as networks that were hardly trained are not."""
    nsr = np.exp(levels)
    # What is small for a network that predicts the noise is large as an error of x.
    worse = ~(error <= np.maximum(WORSE * linear, SLIPS * nsr))
    if not worse.any():
        return []
    low = int(np.cumprod(worse).sum())  # levels, from the least on
    k = int(np.argmax(np.where(worse, error / np.maximum(linear, 1e-300), 0)))
    text = (
        f"At the noise level sigma / m = {nsr[k] ** 0.5:.3g} the network denoises with a root mean "
        f"square error of {error[k] ** 0.5:.3g}, where a straight line would have "
        f"{linear[k] ** 0.5:.3g}"
    )
    if not (error <= WORSE * np.maximum(nsr, var)).all():
        why = (
            "the schedule, what it predicts, the range, the conditions or its time are not what "
            "it was trained with, or it was hardly trained."
        )
        return [Finding("denoiser", "certain", f"{text}: {why}")]
    if worse.sum() == low:
        below = nsr[low - 1] ** 0.5
        return [
            Finding(
                "low noise", "likely",
                f"At and below sigma / m = {below:.3g} the network is no better than leaving the "
                "noise in; `fit` ends the bound above them, unless ends_at says otherwise.",
            )
        ]  # fmt: skip
    return [Finding("denoiser", "likely", f"{text}: it was hardly trained, or told wrongly.")]


def _times(
    levels: np.ndarray, error: np.ndarray, told: np.ndarray, shift: np.ndarray
) -> list[Finding]:
    if np.isnan(told).all():
        return [
            Finding("times", "note", "The network cannot be told other times, so none were tried.")
        ]
    ratio = _ratio(levels, error, told)
    k = int(ratio.argmax())
    if ratio[k] < RATIO[0]:
        return []
    return [
        Finding(
            "times", "certain" if ratio[k] >= RATIO[1] else "likely",
            f"At sigma / m = {np.exp(levels[k] / 2):.3g} the network's squared error is "
            f"{ratio[k]:.2f} times that which it has when told the time of sigma / m = "
            f"{np.exp((levels[k] + shift[k]) / 2):.3g}: its times are not what it was trained "
            "with.",
        )
    ]  # fmt: skip


def _ratio(levels: np.ndarray, error: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Of errors at the claimed time to the best, 1 where that is worth next to nothing."""
    return np.where((error - told) / (2 * np.exp(levels)) > LITTLE, error / told, 1)


def _claim(tried: list[Claim], least: float) -> list[Finding]:
    """What the network looks like, if another claim fits better: the fewest changes that do."""
    if not tried or tried[0].gain < least:
        return []
    gain = tried[0].gain
    good = [c for c in tried if c.gain > 0.95 * gain]
    best = min(good, key=lambda c: len(c.changed))
    words = {
        "schedule": "the times look like those of {}", "predicts": "its output looks like {}",
        "time": "its time looks like {}", "range": "the data look like those of range {}",
        "logit": "and of logit={}",
    }  # fmt: skip
    looks = ", ".join(words[k].format(v) for k, v in best.changed.items())
    severity: Severity = "certain" if gain >= GAIN[1] else "likely"
    how = "is" if severity == "certain" else "may be"
    return [
        Finding(
            "claim", severity,
            f"The network {how} not what it was trained with: {looks}, by which its bound is "
            f"better by about {gain:.2g} nats per dimension.",
        )
    ]  # fmt: skip


def _network(model: "Model", probe: Probe) -> Iterator[Finding]:
    """Of the network itself: mode, randomness, gradient, precision and the range of its x-hat."""
    rng = torch.Generator().manual_seed(0)
    condition = probe.condition[:1]

    def of_rows(n: int) -> Any:
        return model.drift(condition, torch.zeros(n, dtype=torch.int64))

    try:
        check_repeats(of_rows, model.sde, model.space.shape)
    except VdiffError as error:
        yield Finding("random", "certain", str(error))
    y, s = noise_at_unit(model.sde, 1, model.space.shape, rng)
    try:
        check_gradient(of_rows(1), y, s, rng)
    except VdiffError as error:
        yield Finding("gradient", "note", str(error))
    if model.given is not None:
        if any(m.training for m in modules_of(model.given["net"])):
            said = "The network is in train mode; vdiff asks it in eval mode."
            yield Finding("mode", "note", said)
        dtype = precision_of(modules_of(model.given["net"]))
        if dtype in (torch.float16, torch.bfloat16):
            step = torch.finfo(dtype).eps
            said = (
                f"The network's weights are {dtype}, which tells numbers apart by {step:.1g} only."
            )
            yield Finding("precision", "note", said)
    high = probe.denoised(model, ends(model)[1] - 0.01)
    low, top = float(probe.y.min()), float(probe.y.max())
    room = 0.1 * (top - low)
    outside = float(((high < low - room) | (high > top + room)).double().mean())
    if outside > 0.01:
        yield Finding(
            "output", "note",
            f"From noise alone {outside:.0%} of the network's x-hat lie outside the range of "
            f"the data, {low:.3g} to {top:.3g}, by more than a tenth of it.",
        )  # fmt: skip
