"""Evidence about a claim, its power, and the verdicts on many claims together.

Each claim is a number with a side: it is true where its effect is positive. Two one-sided
hypotheses are tested, that the effect is not positive and that it is not negative; all p-values
are corrected together by Holm's method, so that a wrong verdict anywhere has probability at most
ALPHA:

    holds                  "not positive" is rejected
    does not hold          "not negative" is rejected
    not resolved           neither

Where an effect was published with its size, a trivial part of that is none: "does not hold" then
rejects that the effect is at least trivial. Between 0 and trivial either verdict is right.

A claim of equality is one of a bound: |difference| < margin, whose effect is the margin minus the
difference's size.

A claim has an effect that its test must find with 80% power, the published one or the margin. If
by its standard error it would not, and nothing is resolved, it says how much more is needed. All
claims are tested, whatever their power: were some left out by their standard error, one that is
small by luck would both admit a claim and inflate its t.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vdiff.stats.distances import above
from vdiff.stats.intervals import SMALLEST, Noise, effect_found, p_value, power, quantile

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
POWER = 0.8
HOLDS, FAILS, OPEN = "holds", "does not hold", "not resolved at this scale"
MORE = "needs more than this preset"
TRAININGS = "trainings"


@dataclass(frozen=True)
class Estimate:
    """What a test gives: the estimate, its 95% interval, and p-values of both sides.

    noises: of the estimate, independent; none for values without noise, None where a standard
    error is missing. parts: of how many estimates, all of which must hold, this is the worst.
    borders: at how many sides it can miss, two for a claim of equality. floor: of a distance, which
    is judged as it was measured and shown as what it says of the laws (`distances.above`).
    """

    ours: float
    low: float
    high: float
    p_true: float
    p_false: float
    noises: tuple[Noise, ...] | None
    parts: int = 1
    borders: int = 1
    floor: float = 0.0

    def shown(self, value: float) -> float:
        return float(above(value, self.floor)) if self.floor else value

    def row(self) -> dict:
        """The columns ours, low and high of a table."""
        values = {"ours": self.ours, "low": self.low, "high": self.high}
        return {name: self.shown(value) for name, value in values.items()}


@dataclass(frozen=True)
class Claim:
    """name: for programs; where: its place in the paper; figure: the one that shows its test;
    short: in a few words; question: the page's that it answers (slug in report/questions.py)."""

    name: str
    text: str
    where: str
    figure: str
    short: str = ""
    question: str = ""


@dataclass(frozen=True)
class Evidence:
    """What one table says about a claim. effect: what the test must find, a positive number.
    of: what it is measured on, where a claim has several, such as the learned drift. theorem:
    whether it must hold, but for a margin; margin: what the margin is. drift: `exact` where it is
    known in closed form, `learned`. change: of ours over the last doubling of training."""

    claim: Claim
    experiment: str
    estimate: Estimate
    unit: str
    published: str
    why: str
    effect: float = np.inf
    of: str = ""
    theorem: bool = False
    margin: str = ""
    drift: str = "learned"
    change: Estimate | None = None


def student(
    ours: float,
    std_err: float,
    df: float,
    side: int,
    threshold: float = 0.0,
    trivial: float = 0.0,
    further: Sequence[Noise] = (),
) -> Estimate:
    """Of an estimate whose effect is side (ours - threshold).

    df: degrees of freedom behind the standard error, infinite for a normal one. trivial: the
    effect below which the claim does not hold. further: noises beside that of the draws.
    """
    effect, noises = side * (ours - threshold), (Noise(std_err, df), *further)
    total = sum(noise.std_err for noise in noises)
    if not (np.isfinite(effect) and 0 < total < np.inf and all(noise.df > 0 for noise in noises)):
        return Estimate(ours, np.nan, np.nan, 1.0, 1.0, None)
    half = quantile(noises, 0.025)
    p_true, p_false = p_value(effect, noises), p_value(trivial - effect, noises)
    return Estimate(ours, ours - half, ours + half, p_true, p_false, noises)


def exact(ours: float, holds: bool) -> Estimate:
    """Of a value without noise."""
    return Estimate(ours, ours, ours, float(not holds), float(holds), ())


def near(ours: float, std_err: float, df: float, centre: float, margin: float) -> Estimate:
    """Of the claim |ours - centre| < margin: the nearer border decides."""
    side = -1 if ours >= centre else 1
    return replace(student(ours, std_err, df, side, centre - side * margin), borders=2)


def weakest(estimates: Iterable[Estimate]) -> Estimate:
    """Of the claim that all hold (intersection-union test): the worst, and the most noise."""
    each = list(estimates)
    worst = max(each, key=lambda e: e.p_true)
    p_false = min(1.0, min(e.p_false for e in each) * len(each))
    most = max(each, key=lambda e: quantile(e.noises, ALPHA / 100) if e.noises else 0)
    return replace(worst, p_false=p_false, noises=most.noises, parts=len(each))


def over_seeds(
    values: "pd.Series", errors: "pd.Series", df: float, side: int, trivial: float = 0.0
) -> Estimate:
    """Of a mean over seeds. Retraining scatters; the noise of each comes on top, for all seeds
    share their test images."""
    n, further = len(values), []
    if n > 1:
        further = [Noise(float(values.std()) / n**0.5, n - 1, TRAININGS)]
    mean, error = float(values.mean(skipna=False)), float(errors.mean())
    return student(mean, error, df, side, trivial=trivial, further=further)


def undecided(estimate: Estimate) -> Estimate:
    """The same without an error."""
    return Estimate(estimate.ours, np.nan, np.nan, 1.0, 1.0, None, floor=estimate.floor)


def unbelieved(evidence: Evidence) -> Evidence:
    """The same claim undecided and without intervals, for its standard error fails the check of its
    tail."""
    why = f"{evidence.why}; not decided: the tail of the draws is too heavy for a standard error"
    change = evidence.change and undecided(evidence.change)
    return replace(evidence, why=why, estimate=undecided(evidence.estimate), change=change)


def finds(estimate: Estimate, level: float) -> float:
    """The least effect that a one-sided test at a level finds with 80% power: all parts of it
    together, were they independent, and an equality in the middle of its margin."""
    if not estimate.noises:
        return 0.0 if estimate.noises == () else np.nan
    each = 1 - (1 - POWER ** (1 / estimate.parts)) / estimate.borders
    return effect_found(estimate.noises, level, each)


MOST = 1000  # trainings that are thought of


def wants(evidence: Evidence, level: float) -> str:
    """What a test without power is short of: trainings, where those make its error, or draws."""
    estimate, of = evidence.estimate, ""
    *others, last = estimate.noises or ()
    if last.of == TRAININGS:

        def trained(n: int) -> Estimate:
            noise = Noise(last.std_err * ((last.df + 1) / n) ** 0.5, n - 1, TRAININGS)
            return replace(estimate, noises=(*others, noise))

        def enough(n: int) -> bool:
            return finds(trained(n), level) <= evidence.effect

        if enough(MOST):
            n = 2 + bisect_left(range(2, MOST), True, key=enough)
            return f"would need about {n} trainings of each arm"
        estimate, of = trained(MOST), ", and many trainings"
    times = math.ceil(10 * (finds(estimate, level) / evidence.effect) ** 2) / 10
    return f"would need about {times} times the draws{of}"


def _level(evidence: Sequence[Evidence]) -> float:
    """The level of the strictest of Holm's tests: of both sides of every claim."""
    return ALPHA / (2 * max(1, len(evidence)))


def verdicts(evidence: Sequence[Evidence]) -> list[str]:
    """Of each, with Holm's correction over both sides of all."""
    level, each = _level(evidence), [(e.estimate.p_true, e.estimate.p_false) for e in evidence]
    p = np.ravel(each)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    return [
        HOLDS if t < ALPHA else FAILS if f < ALPHA
        else MORE if e.effect < np.inf and finds(e.estimate, level) > e.effect else OPEN
        for e, (t, f) in zip(evidence, adjusted.reshape(-1, 2), strict=True)
    ]  # fmt: skip


def rejected(evidence: Sequence[Evidence]) -> Iterator[tuple[bool, float]]:
    """Whether each claim is rejected, all at once with probability ALPHA of any error, and with
    what power its test does that, were the effect as it was found."""
    level = _level(evidence)
    for e in evidence:
        p, noises = e.estimate.p_false, e.estimate.noises
        effect = quantile(noises, max(p, SMALLEST)) if noises else 0.0
        yield p < level, power(effect, noises, level) if noises else float(p < level)


ENDS = {"": "ours", "_low": "low", "_high": "high"}


def rows(evidence: Sequence[Evidence]) -> Iterator[dict]:
    """Rows of the schema claims."""
    level = _level(evidence)
    for e, verdict in zip(evidence, verdicts(evidence), strict=True):
        least, est = finds(e.estimate, level), e.estimate
        why = e.why
        if verdict == MORE:
            why = f"{why}; {wants(e, level)}"
        yield {
            "name": e.claim.name,
            "claim": f"{e.claim.text} ({e.of})" if e.of else e.claim.text,
            "short": e.claim.short or e.claim.text,
            "question": e.claim.question,
            "where": e.claim.where,
            "figure": e.claim.figure,
            "experiment": e.experiment,
            "published": e.published,
            "theorem": e.theorem,
            "drift": e.drift,
            **est.row(),
            **{f"change{end}": getattr(e.change, of, np.nan) for end, of in ENDS.items()},
            "unit": e.unit,
            "finds": est.shown(est.floor + least),
            "effect": est.shown(est.floor + e.effect) if np.isfinite(e.effect) else np.nan,
            "margin": e.margin,
            "p_true": est.p_true,
            "p_false": est.p_false,
            "verdict": verdict,
            "why": why,
        }
