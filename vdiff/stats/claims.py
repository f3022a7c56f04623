"""The paper's claims, and whether the measured tables bear them out (`evidence` has the tests).

A claim on debiasing compares two arms of an experiment, one pair. The effects that the tests must
find are the published ones, or margins.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from vdiff.stats.course import change
from vdiff.stats.distances import SPREAD_DF, std_err
from vdiff.stats.evidence import (
    Claim,
    Estimate,
    Evidence,
    exact,
    near,
    over_seeds,
    rows,
    student,
    unbelieved,
    weakest,
)
from vdiff.stats.gradients import BIAS_MARGIN
from vdiff.stats.intervals import GROUPS, late
from vdiff.stats.published import published_effect
from vdiff.stats.quality import kernel_contrast
from vdiff.stats.tails import doubts

CONTRAST = 0.2  # of samples' distances, half as far again: what a test of quality must find
TRIVIAL = 1 / 4  # of a published effect: less does not bear the claim out
# Margins of claims of equality; docs/claims.md says what each is a part of.
FORMS_MARGIN = 0.031  # forms of the loss: bits/dim, a tenth of the published 0.306 ± 0.057
NATS_MARGIN = FORMS_MARGIN * 2 * np.log(2)  # the same of points in the plane
RATIO_MARGIN = np.expm1(NATS_MARGIN)  # the same as a ratio of densities
TENTH, OWN = "a tenth of the published effect", "its own"  # what a margin is, in tables
SLOPE_MARGIN = 0.25  # of the bound against the number of layers: half way to order 1/2
DISTANCE_MARGIN = 0.1  # Wasserstein distance of two laws: the width of the Swissroll's band


LOWER_BPD = Claim(
    "lower_bpd",
    "Debiased training lowers the test bpd",
    "image experiments",
    "differences",
    "Debiasing lowers the bits/dim",
    "debias",
)
HIGHER_ERROR = Claim(
    "higher_error",
    "Debiased training raises the standard error of the paper's estimator",
    "image experiments",
    "standard-error",
    "Debiasing raises the standard error",
    "error",
)
BIASED = Claim(
    "biased_gradient",
    "Score matching at uniform times is a biased ELBO gradient",
    "bias and variance of the loss",
    "gradient-bias",
    "Uniform times bias the gradient",
    "gradient",
)
UNBIASED = Claim(
    "unbiased_gradient",
    "Score matching at debiased times is an unbiased ELBO gradient",
    "bias and variance of the loss",
    "gradient-bias",
    "Debiased times do not",
    "gradient",
)
SAME_LAW = Claim(
    "same_law",
    "Every lambda samples the same distribution",
    "lambda family, figure 5",
    "distances",
    "Every λ samples the same",
    "family",
)
MATCHING = Claim(
    "matching_is_the_bound",
    "Score matching is the bound: minimising the one maximises the other",
    "score matching and the ELBO",
    "forms",
    "Score matching is the bound",
    "matching",
)
FORMS = Claim(
    "forms_agree",
    "Explicit, implicit, sliced and denoising score matching differ by constants",
    "score matching and the ELBO",
    "forms",
    "All forms of score matching agree",
    "matching",
)
EVERY_BOUND = Claim(
    "lmbd_bound",
    "Every lambda has its bound, and that of lambda = 0 is the best",
    "lambda family",
    "theory",
    "Every λ has its bound, best at 0",
    "tight",
)
SAMPLES = Claim(
    "better_samples",
    "Samples improve with debiasing",
    "sample grids",
    "quality",
    "Debiased samples are better",
    "samples",
)

Tables = Mapping[str, pd.DataFrame]
"""Schema to table; `published` has the published curves, which claims on arms are held to."""
THEIRS = "(CIFAR-10, last fifth of the published curves)"
NO_FAULT = "none"


def of_pairs(frame: pd.DataFrame, pairs: Mapping[str, tuple[str, str] | None]) -> pd.DataFrame:
    """The rows of the one pair of arms that each experiment's claims compare, None for none: those
    of the pair where the table is of pairs, of its two arms where it is of arms."""
    columns = [column for column in ("first", "second", "arm") if column in frame]
    cells = zip(frame["experiment"], zip(*(frame[c] for c in columns), strict=True), strict=True)
    claimed = [(pairs.get(name) or (), arms) for name, arms in cells]
    return frame[[pair == arms if len(arms) == 2 else arms[0] in pair for pair, arms in claimed]]


def lower_bpd(tables: Tables) -> Iterator[Evidence]:
    """The mean over the last fifth of training, as the published curves are read (80k to 100k)."""
    frame, theirs = tables["differences"], published_effect(tables["published"])
    frame = frame[frame["estimator"] == "efficient"]
    for name, part in frame.groupby("experiment", sort=False):
        moved, part = change(part), late(part)
        # Checkpoints of a run share their noise: the mean of their errors bounds the mean's.
        by_seed = part.groupby("seed")[["difference", "std_err"]].mean()
        df, trivial = part["images"].min() - 1, TRIVIAL * theirs.gain
        evidence = Evidence(
            LOWER_BPD,
            name,
            over_seeds(by_seed["difference"], by_seed["std_err"], df, -1, trivial),
            unit="bits/dim, True minus False",
            published=f"{-theirs.gain:.2f} ± {theirs.gain_error:.2f} {THEIRS}",
            effect=theirs.gain,
            why=f"ahead at equal passes: paired t test over the test images, efficient estimator, "
            f"mean of iterations {part['iteration'].min()} to {part['iteration'].max()}"
            + _seeds(len(by_seed)),
            change=moved,
        )
        yield _checked(evidence, part)


def _seeds(n: int) -> str:
    if n == 1:
        return "; one seed: the interval does not cover retraining"
    return f"; over {n} trainings of each arm"


def _checked(evidence: Evidence, rows: pd.DataFrame) -> Evidence:
    """Undecided where a row that it rests on fails the check of its tail: one rule for all."""
    return unbelieved(evidence) if doubts(rows).any() else evidence


def higher_standard_error(tables: Tables) -> Iterator[Evidence]:
    frame, theirs = tables["differences"], published_effect(tables["published"])
    frame = frame[frame["estimator"] == "published"]
    for name, part in frame.groupby("experiment", sort=False):
        last = part[part["iteration"] == part["iteration"].max()]
        ratio = last["log_sd_ratio"]
        errors, df = last["log_sd_ratio_std_err"], last["images"].min() - 1
        evidence = Evidence(
            HIGHER_ERROR,
            str(name),
            over_seeds(ratio, errors, df, 1, TRIVIAL * theirs.log_ratio),
            unit="log ratio, True over False",
            published=f"{theirs.log_ratio:+.2f} ± {theirs.log_ratio_error:.2f} {THEIRS}",
            effect=theirs.log_ratio,
            why=f"jackknife of the paired log ratio at the last iteration{_seeds(len(last))}",
        )
        yield _checked(evidence, last)


def gradient_bias(tables: Tables) -> Iterator[Evidence]:
    """The squared relative bias, 1 - cos^2, against one margin for both laws. The debiased law must
    stay within at every checkpoint; the uniform one must exceed it once training has begun, at the
    checkpoint after the first that is nearest to half of it: a choice that looks at no error."""
    for name, part in tables["gradient"].groupby("experiment", sort=False):
        part = part[part["cosine_std_err"].notna()]
        for law, claim, side in (("uniform", BIASED, 1), ("debiased", UNBIASED, -1)):
            course = part[part["law"] == law].sort_values("iteration")
            if course.empty:
                continue
            rows = course
            if law == "uniform":
                after = course[course["iteration"] > course["iteration"].min()]
                half = course["iteration"].max() / 2
                rows = after if len(after) else course
                rows = rows.iloc[[(rows["iteration"] - half).abs().argmin()]]
            said = ", ".join(f"{r.relative_bias:.2g} at {r.iteration}" for r in course.itertuples())
            where = "at every checkpoint" if side < 0 else f"at {rows['iteration'].iloc[0]}"
            evidence = Evidence(
                claim,
                str(name),
                weakest(_squared_bias(row, side) for row in rows.itertuples()),
                unit="squared relative bias of the gradient, 1 - cos²",
                effect=BIAS_MARGIN**2 if side < 0 else (3 * BIAS_MARGIN) ** 2 - BIAS_MARGIN**2,
                published="theorem",
                theorem=True,
                margin=OWN,
                why=f"{'less' if side < 0 else 'more'} than {BIAS_MARGIN}² {where}; jackknife; "
                f"relative bias by iteration: {said}",
            )
            yield _checked(evidence, rows)


def _squared_bias(row: Any, side: int) -> Estimate:
    """Of 1 - cos^2, which unlike its root has an error where it is small."""
    error = 2 * abs(row.cosine) * row.cosine_std_err
    return student(1 - row.cosine**2, error, GROUPS - 1, side, BIAS_MARGIN**2)


def same_distribution(tables: Tables) -> Iterator[Evidence]:
    """All lambdas must pass, so the weakest decides (intersection-union test)."""
    frame = tables["distances"]
    frame = frame[frame["sampler"] == "euler_maruyama"]
    frame = frame[frame["steps"] == frame["steps"].max()]
    for (name, source), part in frame.groupby(["experiment", "source"], sort=False):
        worst = weakest(_of_distance(row) for row in part.itertuples())
        yield Evidence(
            SAME_LAW,
            name,
            worst,
            unit="Wasserstein distance of the laws, root of D² - floor², worst lambda",
            effect=float(np.hypot(DISTANCE_MARGIN, worst.floor) - worst.floor),
            published="theorem, and a picture" if source == "exact" else "figure 5",
            theorem=source == "exact",
            margin=OWN,
            drift=source,
            why=f"each of {len(part)} lambdas within {DISTANCE_MARGIN} after "
            f"{part['steps'].iloc[0]} Euler-Maruyama steps, bootstrap errors",
            of=f"{source} drift",
        )


def _of_distance(row: Any) -> Estimate:
    """Of a measured distance against the one that laws as far apart as the margin have: its noise,
    unlike that of its square, hardly depends on it."""
    error = std_err(row.distance, row.low, row.high, row.null_mean)
    most = float(np.hypot(DISTANCE_MARGIN, row.null_mean))
    distance = student(row.distance, error, SPREAD_DF, -1, most)
    return replace(distance, floor=row.null_mean)


def matching_is_the_bound(tables: Tables) -> list[Evidence]:
    """The bound by divergences and by denoising, at every checkpoint."""
    frame = tables["forms"]
    frame = frame[frame["form"].isin(["sliced", "implicit"])]
    return [
        Evidence(
            MATCHING,
            str(name),
            _equal_forms(part),
            unit="bits/dim, ELBO by divergence minus by denoising, worst checkpoint",
            published="theorem",
            theorem=True,
            margin=TENTH,
            why=f"within {FORMS_MARGIN:.2g} at each of {part['iteration'].nunique()} checkpoints, "
            f"{part['draws'].iloc[0]} common draws of training data",
            effect=FORMS_MARGIN,
        )
        for name, part in frame.groupby("experiment", sort=False)
    ]


def forms_agree(tables: Tables) -> Iterator[Evidence]:
    for name, part in tables["forms"].groupby("experiment", sort=False):
        if "explicit" not in set(part["form"]):
            continue
        value = part[part["form"] == "denoising"]["value"]
        yield Evidence(
            FORMS,
            str(name),
            _equal_forms(part[part["form"] != "denoising"]),
            unit="bits/dim over the denoising form, worst form and checkpoint",
            published="theorem",
            theorem=True,
            margin=TENTH,
            why=f"each within {FORMS_MARGIN:.2g} at every checkpoint, while the loss falls by "
            f"{(value.max() - value.min()) / np.log(2):.2g}",
            effect=FORMS_MARGIN,
        )


def _equal_forms(part: pd.DataFrame) -> Estimate:
    return weakest(
        near(row.excess, row.excess_std_err, row.draws - 1, 0.0, FORMS_MARGIN)
        for row in part.itertuples()
    )


def theory(tables: Tables) -> Iterator[Evidence]:
    """The identities on the mixture (steps/theory.py), in the paper's order."""
    for name, part in tables["theory"].groupby("experiment", sort=False):
        for statement, (claim, unit, margin) in IDENTITIES.items():
            for source, of in part[part["statement"] == statement].groupby("source", sort=False):
                yield Evidence(
                    claim,
                    str(name),
                    weakest(
                        near(r.measured - r.expected, r.std_err, np.inf, 0.0, margin)
                        for r in of.itertuples()
                    ),
                    unit=unit,
                    published="theorem",
                    theorem=True,
                    margin=OWN if margin == SLOPE_MARGIN else TENTH,
                    drift=source,
                    why=f"within {margin:.2g}{_settings(len(of))}, on "
                    + ("a mixture of Gaussians" if source == "exact" else "the trained net"),
                    effect=margin,
                    of="" if source == "exact" else "learned drift",
                )
        bound = part[part["statement"] == "lmbd_bound"]
        if len(bound):
            yield _lmbd_bound(str(name), bound)


def _settings(n: int) -> str:
    return f" in each of {n} settings" if n > 1 else ""


IDENTITIES = {
    "gap": (
        Claim(
            "gap",
            "The bound is tight at the true drift alone: it misses half the drift's squared error",
            "the ELBO, by Girsanov and Jensen",
            "theory",
            "The bound's gap is the drift's error",
            "tight",
        ),
        "nats, gap minus half the integrated squared error, worst error of the drift",
        NATS_MARGIN,
    ),
    "feynman_kac": (
        Claim(
            "feynman_kac",
            "The marginal density is a Feynman-Kac expectation",
            "the marginal density",
            "theory",
            "The density is a Feynman-Kac expectation",
            "tight",
        ),
        "mean ratio of its Monte-Carlo mean to the density, minus 1, worst error of the drift",
        RATIO_MARGIN,
    ),
    "layers_slope": (
        Claim(
            "layers_slope",
            "It is an infinitely deep hierarchical VAE: L layers miss the limit by 1/L",
            "infinitely deep VAE",
            "theory",
            "It is an infinitely deep VAE",
            "tight",
        ),
        "slope against L on logarithms, plus 1",
        SLOPE_MARGIN,
    ),
    "same_density": (
        Claim(
            "same_density",
            "Every lambda gives its samples the mean log density of the data",
            "lambda family, figure 5",
            "theory",
            "Every λ has the data's log density",
            "family",
        ),
        "nats, mean log density of samples minus of data, worst lambda",
        NATS_MARGIN,
    ),
    "flow": (
        Claim(
            "flow",
            "Continuous normalising flows are the case without noise, lambda = 1",
            "lambda family",
            "theory",
            "λ = 1 is a normalising flow",
            "tight",
        ),
        "nats, log density by the ODE minus the true one",
        NATS_MARGIN,
    ),
}
"""Statement to claim, unit and margin."""


def _lmbd_bound(name: str, part: pd.DataFrame) -> Evidence:
    slack = part["measured"] - part["expected"]
    best = part["setting"].iloc[part["expected"].argmax()]
    return Evidence(
        EVERY_BOUND,
        name,
        exact(float(slack.min()), bool((slack > 0).all() and best == 0)),
        unit="nats, least slack of the bound",
        published="theorem",
        theorem=True,
        drift="exact",
        why=f"closed form of a linear drift at {len(part)} lambdas (docs/claims.md); "
        f"the best bound is that of lambda = {best:g}",
    )


LEARNED = ("classes", "turns")  # spaces of learned features


def better_samples(tables: Tables) -> Iterator[Evidence]:
    """At the end of training, by the distances of both arms in learned features."""
    frame = tables["quality"]
    frame = frame[(frame["measure"] == "kernel") & frame["space"].isin(LEARNED)]
    for name, part in frame.groupby("experiment", sort=False):
        part = part[part["iteration"] == part["iteration"].max()]
        arms = part.pivot(index="seed", columns="debias", values=["value", "std_err"]).astype(float)
        if {True, False} - set(part["debias"]):
            continue
        value, error = kernel_contrast(
            *(arms[column][debias] for debias in (True, False) for column in ("value", "std_err"))
        )
        n, real = part[["samples", "real"]].min()
        why = f"{n} samples each, {real} test images, learned features, errors of both distances"
        if value.isna().any():
            why += "; of a seed both are as near as real images are: nothing to compare"
        yield Evidence(
            SAMPLES,
            str(name),
            over_seeds(value, error, min(n, real) - 1, -1),
            unit="contrast (D - D')/(D + D') of kernel distances, D of True, D' of False",
            published="a picture",
            effect=CONTRAST,
            why=why + _seeds(len(value)),
        )


FADES = Claim(
    "noise_fades",
    "As its noise falls, a pair's bound tends to the likelihood of the flow that is left",
    "neural ODEs, figure 1",
    "inference",
    "Without noise the bound is the flow's likelihood",
    "pairs",
)
FIXED = Claim(
    "fixed_inference",
    "The plug-in reverse SDE is the case of a fixed inference: the general bound is its ELBO",
    "the ELBO of a general pair, figure 1",
    "inference",
    "The general bound has the plug-in SDE's",
    "pairs",
)


def general_pair(tables: Tables) -> Iterator[Evidence]:
    """On both sets of data: at the least noise, and of the plug-in SDE (steps/inference.py)."""
    for name, part in tables["inference"].groupby("experiment", sort=False):
        fading = part[part["statement"] == "fading"]
        least = fading[fading["sigma"] == fading["sigma"].min()]
        for claim, of, unit, how in (
            (FADES, least, "bound minus log density of the flow", "on common paths and points"),
            (
                FIXED,
                part[part["statement"] == "elbo"],
                "bound by paths minus by the efficient estimator",
                "divergences along paths beside Stein's identity at single times",
            ),
        ):
            if len(of):
                evidence = Evidence(
                    claim,
                    str(name),
                    weakest(
                        near(r.measured - r.expected, r.std_err, r.points - 1, 0.0, NATS_MARGIN)
                        for r in of.itertuples()
                    ),
                    unit=f"nats, {unit}, worse data set",
                    published="theorem",
                    theorem=True,
                    margin=TENTH,
                    why=f"within {NATS_MARGIN:.2g} on each of {len(of)} data sets, {how}",
                    effect=NATS_MARGIN,
                )
                yield _checked(evidence, of)


CLAIMS: dict[str, Callable[[Tables], Iterable[Evidence]]] = {
    "forms": lambda tables: chain(matching_is_the_bound(tables), forms_agree(tables)),
    "gradient": gradient_bias,
    "differences": lambda tables: chain(lower_bpd(tables), higher_standard_error(tables)),
    "theory": theory,
    "inference": general_pair,
    "distances": same_distribution,
    "quality": better_samples,
}
"""The table that a claim is about, and what it says; in the order of the report."""


def evidence_of(tables: Tables, fault: str = NO_FAULT) -> list[Evidence]:
    """Of the rows with that fault; claims on tables that are not there are passed over."""
    chosen = {}
    for schema, frame in tables.items():
        if "fault" in frame:
            frame = frame[frame["fault"] == fault]
        elif fault != NO_FAULT:
            continue
        if len(frame):
            chosen[schema] = frame
    return [e for table, of in CLAIMS.items() if table in chosen for e in of(chosen)]


def judge(tables: Tables) -> list[dict]:
    """Rows of the schema claims."""
    return list(rows(evidence_of(tables)))
