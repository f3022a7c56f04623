"""The paper's claims, and whether the measured tables bear them out.

Each claim is a number with a side: `effect` > 0 where it is true. It comes with a normal
standard error, or with two p-values of its own. Two one-sided hypotheses are tested, that the
effect is not positive and that it is not negative; all p-values of all claims are corrected
together by Holm's method, so that a wrong verdict anywhere has probability at most ALPHA:

    holds                  "not positive" is rejected
    does not hold          "not negative" is rejected
    not resolved           neither

A claim of equality is one of a bound: |difference| < margin, whose effect is the margin less the
difference's size. Reads tidy tables only; nothing here imports torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from vdiff.distances import energy
from vdiff.tidy import read_csv, read_npz

ALPHA = 0.05
HOLDS, FAILS, OPEN = "holds", "does not hold", "not resolved at this scale"
COSINE_MARGIN = 0.02  # an unbiased gradient: cosine to the truth above 1 - margin
DISTANCE_MARGIN = 0.1  # equal laws: Wasserstein distance above its floor, in units of the data


@dataclass(frozen=True)
class Evidence:
    """What one table says about a claim. effect > 0: true; low, high: 95% interval of `ours`."""

    claim: str
    where: str
    experiment: str
    ours: float
    low: float
    high: float
    unit: str
    published: str
    p_true: float
    p_false: float
    why: str


def normal(ours: float, std_err: float, side: int, threshold: float = 0.0) -> dict:
    """Columns of Evidence for an estimate whose effect is side (ours - threshold)."""
    z = side * (ours - threshold) / std_err if std_err > 0 else np.nan
    if not np.isfinite(z):
        return {"ours": ours, "low": np.nan, "high": np.nan, "p_true": 1.0, "p_false": 1.0}
    return {
        "ours": ours,
        "low": ours - 1.96 * std_err,
        "high": ours + 1.96 * std_err,
        "p_true": float(stats.norm.sf(z)),
        "p_false": float(stats.norm.cdf(z)),
    }


def verdicts(evidence: Sequence[Evidence]) -> list[str]:
    """Holm's correction over both sides of every claim."""
    p = np.array([[e.p_true, e.p_false] for e in evidence]).ravel()
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    pairs = adjusted.reshape(-1, 2)
    return [HOLDS if t < ALPHA else FAILS if f < ALPHA else OPEN for t, f in pairs]


def lower_bpd(folder: Path) -> list[Evidence]:
    """The mean over the last fifth of training, as the published curves are read (80k to 100k)."""
    frame = read_csv(folder / "differences.csv", "differences")
    frame = frame[frame["estimator"] == "efficient"]
    found = []
    for name, part in frame.groupby("experiment", sort=False):
        late = part[part["iteration"] >= 0.8 * part["iteration"].max()]
        # Checkpoints of a run share their noise: the mean of their errors bounds the mean's.
        by_seed = late.groupby("seed")[["difference", "std_err"]].mean()
        seeds = len(by_seed)
        error = by_seed["std_err"].mean()
        if seeds > 1:  # retraining scatters too; the noise is that of all seeds alike
            error = np.hypot(error, by_seed["difference"].std() / seeds**0.5)
        found.append(
            Evidence(
                "Debiased training lowers the test bpd",
                "image experiments",
                name,
                **normal(by_seed["difference"].mean(), error, -1),
                unit="bits/dim, True less False",
                published="-0.31 (CIFAR-10, 3.104 less 3.410)",
                why=f"paired z test over the test images, efficient estimator, mean of iterations "
                f"{late['iteration'].min()} to {late['iteration'].max()}"
                + ("; one seed: the interval does not cover retraining" if seeds == 1 else ""),
            )
        )
    return found


def higher_standard_error(folder: Path) -> list[Evidence]:
    frame = read_csv(folder / "differences.csv", "differences")
    frame = frame[(frame["estimator"] == "published") & (frame["seed"] == frame["seed"].min())]
    return [
        Evidence(
            "Debiased training raises the standard error of the paper's estimator",
            "image experiments",
            name,
            **normal(last["log_sd_ratio"], last["log_sd_ratio_std_err"], 1),
            unit="log ratio, True over False",
            published="+0.21 (CIFAR-10, 0.168 over 0.136)",
            why="jackknife of the paired log ratio at the last iteration",
        )
        for name, part in frame.groupby("experiment", sort=False)
        for last in [part.sort_values("iteration").iloc[-1]]
    ]


def gradient_bias(folder: Path) -> list[Evidence]:
    frame = read_csv(folder / "gradient.csv", "gradient")
    found = []
    for name, part in frame.groupby("experiment", sort=False):
        by_law = part[part["iteration"] == part["iteration"].min()].set_index("law")
        at = f"cosine with the ELBO's gradient at iteration {part['iteration'].min()}; jackknife"
        for law, claim, side, threshold, means in (
            (
                "uniform",
                "Score matching at uniform times is a biased ELBO gradient",
                -1,
                1.0,
                "below 1",
            ),
            (
                "debiased",
                "Score matching at debiased times is an unbiased ELBO gradient",
                1,
                1 - COSINE_MARGIN,
                f"above {1 - COSINE_MARGIN}",
            ),
        ):
            row = by_law.loc[law]
            found.append(
                Evidence(
                    claim,
                    "bias and variance of the loss",
                    name,
                    **normal(row["cosine"], row["cosine_std_err"], side, threshold),
                    unit="cosine",
                    published="theorem",
                    why=f"{at}; the claim means {means}",
                )
            )
    return found


def same_distribution(folder: Path) -> list[Evidence]:
    """All lambdas must pass, so the weakest decides (intersection-union test)."""
    frame = read_csv(folder / "distances.csv", "distances")
    frame = frame[(frame["metric"] == "sliced_wasserstein") & (frame["reference"] == "data")]
    frame = frame[frame["sampler"] == "euler_maruyama"]
    frame = frame[frame["steps"] == frame["steps"].max()]
    found = []
    for (name, source), part in frame.groupby(["experiment", "source"], sort=False):
        excess = part["distance"] - part["null_mean"]
        error = (part["high"] - part["low"]) / (2 * 1.96)
        rows = [normal(x, se, -1, DISTANCE_MARGIN) for x, se in zip(excess, error, strict=True)]
        worst = max(rows, key=lambda row: row["p_true"])
        p_false = min(1.0, min(row["p_false"] for row in rows) * len(rows))
        found.append(
            Evidence(
                f"Every lambda samples the same distribution ({source} drift)",
                "lambda family, figure 5",
                name,
                **{**worst, "p_false": p_false},
                unit="Wasserstein distance to the data above its floor, worst lambda",
                published="theorem, and a picture" if source == "exact" else "figure 5",
                why=f"each of {len(part)} lambdas within {DISTANCE_MARGIN} after "
                f"{part['steps'].iloc[0]} Euler-Maruyama steps, bootstrap errors",
            )
        )
    return found


def below_likelihood(folder: Path) -> list[Evidence]:
    frame = read_csv(folder / "likelihood.csv", "likelihood")
    frame = frame[frame["debias"] == frame["debias"].max()]
    return [
        Evidence(
            "The ELBO lies below the exact likelihood of the ODE",
            "the ELBO (of the SDE of the same net)",
            row.experiment,
            **normal(row.gap, row.gap_std_err, 1),
            unit="bits/dim, negative ELBO less exact",
            published="a theorem for the SDE, not for the ODE",
            why=f"paired z test over {row.images} images, debias {row.debias}",
        )
        for row in frame.drop_duplicates("experiment").itertuples()
    ]


def loss_and_elbo(folder: Path) -> list[Evidence]:
    train = read_csv(folder / "train.csv", "train")
    evaluation = read_csv(folder / "evaluation.csv", "evaluation")
    evaluation = evaluation[(evaluation["estimator"] == "efficient") & evaluation["debias"]]
    found = []
    for name, part in evaluation.groupby("experiment", sort=False):
        part = part[(part["seed"] == part["seed"].min()) & (part["iteration"] > 0)]
        run = train[(train["experiment"] == name) & train["debias"]]
        run = run[run["seed"] == part["seed"].min()]
        edges = [0, *part["iteration"]]
        losses = run.groupby(pd.cut(run["iteration"], edges), observed=True)["loss"].mean()
        if len(losses) != len(part) or len(part) < 3:
            continue
        tau, p = stats.kendalltau(losses.to_numpy(), part["bpd"].to_numpy(), alternative="greater")
        found.append(
            Evidence(
                "Minimising the score matching loss raises the ELBO",
                "score matching and the ELBO",
                name,
                ours=float(tau),
                low=np.nan,
                high=np.nan,
                unit="Kendall's tau of loss and bpd along training, debias True",
                published="theorem",
                p_true=float(p),
                p_false=float(
                    stats.kendalltau(losses.to_numpy(), part["bpd"].to_numpy(), alternative="less")[
                        1
                    ]
                ),
                why=f"exact rank test over {len(part)} checkpoints",
            )
        )
    return found


def better_samples(folder: Path) -> list[Evidence]:
    found = []
    first: dict[str, Path] = {}  # the first seed of each experiment
    for path in sorted((folder / "runs").glob("*/debias-True/seed-*/samples.npz")):
        first.setdefault(path.parts[-4], path)
    for name, run in first.items():
        other = run.parents[2] / "debias-False" / run.parent.name / run.name
        if not other.exists():
            continue
        true, false = read_npz(run), read_npz(other)
        scale = int(true["levels"]) - 1
        x, y, real = (
            a.reshape(len(a), -1) / scale for a in (true["samples"], false["samples"], true["test"])
        )
        distance, error = _energy_difference(x, y, real)
        found.append(
            Evidence(
                "Samples improve with debiasing",
                "sample grids",
                name,
                **normal(distance, error, -1),
                unit="squared energy distance to test images in pixels, True less False",
                published="a picture",
                why=f"{len(x)} samples each, jackknife; no network judges them",
            )
        )
    return found


def _energy_difference(x: np.ndarray, y: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Energy distance of x to real less that of y to real, with its jackknife error."""
    rng = np.random.default_rng(0)

    def value(keep: np.ndarray) -> float:
        first, second = (energy(s[keep], real[keep], rng, 1, 1).value for s in (x, y))
        return first - second

    n = min(len(x), len(y), len(real))
    parts = np.array([value(np.arange(n) != k) for k in range(n)])
    error = np.sqrt((n - 1) / n * np.square(parts - parts.mean()).sum())
    return value(np.ones(n, bool)), float(error)


CLAIMS: dict[str, Callable[[Path], list[Evidence]]] = {
    "differences.csv": lambda folder: lower_bpd(folder) + higher_standard_error(folder),
    "gradient.csv": gradient_bias,
    "distances.csv": same_distribution,
    "likelihood.csv": below_likelihood,
    "evaluation.csv": loss_and_elbo,
    "samples.csv": better_samples,
}


def judge(folder: Path) -> list[dict]:
    """Rows of the schema claims for a results folder; tables that it lacks are passed over."""
    evidence = [e for table, of in CLAIMS.items() if (folder / table).exists() for e in of(folder)]
    pairs = zip(evidence, verdicts(evidence), strict=True)
    return [{**asdict(e), "verdict": verdict} for e, verdict in pairs]
