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

Which claims are tested is settled by power, never by the outcome: a claim has an effect that its
test must find with 80% power, the published one or the margin. If by its standard error it would
not, it is not tested, says how much more is needed, and does not weaken the others' correction.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from vdiff.stats.intervals import t95

ALPHA = 0.05
POWER = 0.8
HOLDS, FAILS, OPEN = "holds", "does not hold", "not resolved at this scale"
MORE = "needs more than this preset"


@dataclass(frozen=True)
class Estimate:
    """What a test gives: the estimate, its 95% interval, and p-values of both sides.

    std_err with df degrees of freedom is behind them; 0 for values without noise. parts: of how
    many estimates, all of which must hold, this is the worst. borders: at how many sides it can
    miss, two for a claim of equality.
    """

    ours: float
    low: float
    high: float
    p_true: float
    p_false: float
    std_err: float
    df: float
    parts: int = 1
    borders: int = 1


@dataclass(frozen=True)
class Claim:
    """name: for programs; where: its place in the paper; figure: the one that shows its test."""

    name: str
    text: str
    where: str
    figure: str


@dataclass(frozen=True)
class Evidence:
    """What one table says about a claim. effect: what the test must find, a positive number.
    of: what it is measured on, where a claim has several, such as the learned drift."""

    claim: Claim
    experiment: str
    estimate: Estimate
    unit: str
    published: str
    why: str
    effect: float = np.inf
    of: str = ""


def student(
    ours: float,
    std_err: float,
    df: float,
    side: int,
    threshold: float = 0.0,
    trivial: float = 0.0,
) -> Estimate:
    """Of an estimate whose effect is side (ours - threshold).

    df: degrees of freedom behind the standard error, infinite for a normal one. trivial: the
    effect below which the claim does not hold.
    """
    t = side * (ours - threshold) / std_err if std_err > 0 and df > 0 else np.nan
    if not np.isfinite(t):
        return Estimate(ours, np.nan, np.nan, 1.0, 1.0, np.nan, df)
    half = t95(df) * std_err
    p_true, p_false = float(stats.t.sf(t, df)), float(stats.t.cdf(t - trivial / std_err, df))
    return Estimate(ours, ours - half, ours + half, p_true, p_false, std_err, df)


def exact(ours: float, holds: bool) -> Estimate:
    """Of a value without noise."""
    return Estimate(ours, ours, ours, float(not holds), float(holds), 0.0, np.inf)


def near(ours: float, std_err: float, df: float, centre: float, margin: float) -> Estimate:
    """Of the claim |ours - centre| < margin: the nearer border decides."""
    side = -1 if ours >= centre else 1
    return replace(student(ours, std_err, df, side, centre - side * margin), borders=2)


def weakest(estimates: Iterable[Estimate]) -> Estimate:
    """Of the claim that all hold (intersection-union test): the worst, and the most noise."""
    found = list(estimates)
    worst = max(found, key=lambda e: e.p_true)
    p_false = min(1.0, min(e.p_false for e in found) * len(found))
    std_err = max(e.std_err for e in found)
    return replace(worst, p_false=p_false, std_err=std_err, parts=len(found))


def unbelieved(evidence: Evidence) -> Evidence:
    """The same claim undecided, for its standard error fails the check of its tail."""
    why = f"{evidence.why}; not decided: the tail of the draws is too heavy for a standard error"
    return replace(evidence, why=why, estimate=replace(evidence.estimate, p_true=1.0, p_false=1.0))


def finds(estimate: Estimate, level: float) -> float:
    """The least effect that a one-sided test at a level finds with 80% power: all parts of it
    together, were they independent, and an equality in the middle of its margin."""
    df = estimate.df
    each = 1 - (1 - POWER ** (1 / estimate.parts)) / estimate.borders
    return float((stats.t.isf(level, df) + stats.t.ppf(each, df)) * estimate.std_err)


def _level(evidence: Sequence[Evidence]) -> float:
    """The level of the strictest of Holm's tests: of both sides of every claim."""
    return ALPHA / (2 * max(1, len(evidence)))


def verdicts(evidence: Sequence[Evidence]) -> list[str]:
    """Of each; those without power apart, Holm's correction over both sides of the others."""
    level = _level(evidence)
    weak = [e.effect < np.inf and finds(e.estimate, level) > e.effect for e in evidence]
    tested = [e.estimate for e, w in zip(evidence, weak, strict=True) if not w]
    p = np.array([[e.p_true, e.p_false] for e in tested]).ravel()
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    said = iter(
        HOLDS if t < ALPHA else FAILS if f < ALPHA else OPEN for t, f in adjusted.reshape(-1, 2)
    )
    return [MORE if w else next(said) for w in weak]


def rejected(evidence: Sequence[Evidence]) -> list[tuple[bool, float]]:
    """Whether each claim is rejected, all at once with probability ALPHA of any error, and with
    what power its test does that, were the effect as it was found."""
    level, found = _level(evidence), []
    for e in evidence:
        p, df = e.estimate.p_false, e.estimate.df
        power = float(stats.t.sf(stats.t.isf(level, df) - stats.t.isf(p, df), df))
        found.append((p < level, power))
    return found


def rows(evidence: Sequence[Evidence]) -> list[dict]:
    """Rows of the schema claims."""
    level, found = _level(evidence), []
    for e, verdict in zip(evidence, verdicts(evidence), strict=True):
        least, est = finds(e.estimate, level), e.estimate
        why = e.why
        if verdict == MORE:
            times = math.ceil(10 * (least / e.effect) ** 2) / 10
            why = f"{why}; would need about {times} times the draws"
        found.append(
            {
                "name": e.claim.name,
                "claim": f"{e.claim.text} ({e.of})" if e.of else e.claim.text,
                "where": e.claim.where,
                "figure": e.claim.figure,
                "experiment": e.experiment,
                "published": e.published,
                "ours": est.ours,
                "low": est.low,
                "high": est.high,
                "unit": e.unit,
                "finds": least,
                "effect": e.effect if np.isfinite(e.effect) else np.nan,
                "p_true": est.p_true,
                "p_false": est.p_false,
                "verdict": verdict,
                "why": why,
            }
        )
    return found
