"""What documents say in words of kept tables: the texts that a page must have, made from the tables
as they are. `values` are those that the article names (docs/article/make.py)."""

import importlib.util
import math
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pandas as pd

from support.pipeline import ROOT
from vdiff.cli.planning import rates
from vdiff.config import load_config
from vdiff.planning.costs import costs
from vdiff.report.page import KINDS, MARKS, MINUS
from vdiff.resources import published_curves
from vdiff.stats.course import change, of_published, share_of_passes
from vdiff.stats.distances import above
from vdiff.stats.intervals import late

REFERENCE = ROOT / "results" / "reference"


@cache
def article() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", ROOT / "docs/article/make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def kept(name: str) -> pd.DataFrame:
    return pd.read_csv(REFERENCE / f"{name}.csv")


def claims_of(folder: str) -> list[str]:
    """Lines of a Markdown table, three digits at most."""
    found = []
    for c in kept(f"{folder}/claims").itertuples():
        drift = next((f" ({d})" for d in ("exact drift", "learned drift") if d in c.claim), "")
        interval = f"{c.low:.3g} to {c.high:.3g}" if pd.notna(c.low) else "none"
        least = f"{c.finds:.2g}" if pd.notna(c.finds) else "unknown"
        finds = f"{least} of {c.effect:.2g}" if pd.notna(c.effect) else "no noise"
        cells = [
            f"{c.short}{drift}", c.experiment, c.published.split(" (")[0],
            f"{c.ours:.3g} {c.unit}", interval, finds, f"**{c.verdict}**",
        ]  # fmt: skip
        found.append(f"| {' | '.join(cells)} |")
    return found


def courses() -> list[str]:
    """The gap at the end, its change over the last doubling, where it was lowest, and the share of
    passes; then the published one's."""
    found = []
    for name in ("cifar10_subset", "mnist", "mnist_long"):
        gaps, means = (
            of[(of["experiment"] == name) & (of["estimator"] == "efficient")]
            for of in (kept("laptop/differences"), kept("laptop/curves"))
        )
        gaps = gaps[(gaps["second"] == "debias-False") & (gaps["iteration"] > 0)]
        end = gaps[gaps["iteration"] == gaps["iteration"].max()]["difference"].mean()
        true, false = (means[means["arm"] == f"debias-{b}"] for b in (True, False))
        moved, least = change(gaps), gaps.groupby("iteration")["difference"].mean()
        found.append(
            f"{end:.2f} | {moved.ours:+.2f} ({moved.low:+.2f} to {moved.high:+.2f}) | "
            f"{least.min():.2f} at {least.idxmin():,} | {share_of_passes(true, false):.0%} |"
        )
    gap, theirs = of_published(published_curves()), published_curves()
    moved = change(gap, shared=False)
    true, false = (theirs[theirs["debias"] == debias] for debias in (True, False))
    found.append(
        f"{late(gap)['difference'].mean():.2f} | {moved.ours:+.2f} "
        f"({moved.low:+.2f} to {moved.high:+.2f}) | \N{EN DASH} | "
        f"{share_of_passes(true, false):.0%} |"
    )
    return [row.replace("-", MINUS) for row in found]


def tails() -> list[str]:
    """Of the pairs' differences, and of debias True alone, at the end of training."""

    def ends(table):
        frame = kept(f"laptop/{table}")
        frame = frame[(frame["estimator"] == "published") & ~frame.isin(["improved"]).any(axis=1)]
        last = frame.groupby("experiment")["iteration"].transform("max")
        return frame[frame["iteration"] == last]

    pairs, runs = ends("differences"), ends("evaluation")
    true = runs[runs["debias"] & runs["experiment"].str.startswith("mnist")]
    k, most = pairs["k_hat"], pairs["k_most"]
    assert k.min() > most.max()
    return [
        f"k̂ of {k.min():.1f} to {k.max():.1f} where {most.min():.2f} to {most.max():.2f} is",
        f"alone have {true['k_hat'].min():.2f} to {true['k_hat'].max():.2f}",
    ]


def step_sizes() -> list[str]:
    found = []
    for data in ("digits", "photos"):
        for arm in ("debias-True", "debias-False"):
            of = kept("recipes/step_sizes")
            ends = of[(of["data"] == data) & (of["arm"] == arm)].groupby("lr")["bpd"]
            each = ends.agg(["mean", "sem"])
            cells = [f"{lr:g}: {m:.3f} ± {s:.3f}" for lr, m, s in each.itertuples()]
            m, s = each.loc[each["mean"].idxmin()]
            name = arm.replace("-", " ")
            found.append(f"| {data} | {name} | {' | '.join(cells)} | {m:.3f} ± {s:.3f} |")
    return found


def record_rows() -> list[str]:
    """The ends of the trainings that have no packaged weights, and those of the weights."""
    found = []
    last = kept("recipes/record_course").groupby(["data", "entry"]).last()
    for key in (
        ("cifar10_subset", "block"),
        ("cifar10_subset", "hour"),
        ("cifar10_subset", "night"),
        ("mnist", "hour"),
    ):
        row = last.loc[key]
        found.append(f"| {row['bpd']:.3f} ± {row['std_err']:.3f} |")
        found.append(f"| {int(row['passes']):,} | {row['seconds']:,.0f} core-seconds")
    for row in kept("pretrained/records").itertuples():
        if row.name in ("cifar10-record", "mnist-record"):
            k = f"{row.k_hat:.2f} ({row.k_most:.2f})".replace("-", MINUS)
            found.append(f"| {row.bpd:.3f} ± {row.std_err:.3f} | {row.se_mc:.3f} | {k} |")
            found.append(f"| {row.passes:,} |")
        else:
            found.append(f"`{row.name}` ({row.bpd:.2f} ± {row.std_err:.2f}")
    return found


def hour_search() -> list[str]:
    """Of each recipe of the search for the hour: bits/dim half way, at the end if it went there,
    and core-seconds half way."""
    found = []
    for _, rows in kept("recipes/hour_search").groupby(["data", "changes"]):
        half, end = rows.iloc[0], f"{rows.iloc[1]['bpd']:.3f} " if len(rows) > 1 else ""
        found.append(f"| {half['bpd']:.3f} | {end}| {half['seconds']:.0f} |")
    return found


def searches() -> list[str]:
    """Of each recipe of the search for records the passes and bits/dim after 20 minutes."""
    of = kept("recipes/record_search")
    of = of[(of["data"] == "cifar10_subset") & (of["recipe"] != "gpu")]
    last = of.sort_values("passes").groupby("recipe").last()
    return [f"| {row.passes:,} | {row.bpd:.3f} |" for row in last.itertuples()]


def verdicts() -> list[str]:
    """A row for each claim; with two marks, of the exact and of the learned drift."""
    data = article().DATA
    lines = [f"| claim | {' | '.join(data.values())} |", "|---|" + ":-:|" * len(data)]
    lines += [f"| {' | '.join(row)} |" for row in article().tables(REFERENCE)["verdicts"]]
    assert MARKS[KINDS["holds"]] in lines[2]
    return ["\n".join(lines)]


def readme() -> list[str]:
    """The README's results are typed, for it cannot look them up; here they are looked up."""
    v = article().values(REFERENCE)
    of = ("laptop.mnist", "laptop.cifar10_subset")

    def gain(name):
        low, high = sorted(-v[f"{name}.lower_bpd.{end}"] for end in ("low", "high"))
        return f"{-v[f'{name}.lower_bpd.ours']:.2f}", f"{low:.2f} to {high:.2f}"

    (mnist, mnist_range), (cifar, cifar_range) = map(gain, of)
    shrank = " and ".join(
        f"{v[f'{name}.lower_bpd.change']:.2f} ({v[f'{name}.lower_bpd.change_low']:.2f} to "
        f"{v[f'{name}.lower_bpd.change_high']:.2f})"
        for name in of
    )
    (ratio,) = {f"{math.expm1(v[f'{name}.higher_error.ours']):.0%}" for name in of}
    assert "laptop.mnist.higher_error.low" not in v  # how sure that is
    published = f"{math.expm1(v['published.log_ratio']):.0%}"
    (missed,) = {f"{v[f'{name}.bias.uniform.last']:.0%}" for name in of}
    debiased = " and ".join(f"{v[f'{name}.bias.debiased.last']:.0%}" for name in of)
    n: dict[str, float] = {}
    for name, count in v.items():
        if ".theorems." in name:
            n[kind] = n.get(kind := name.rpartition(".")[2], 0) + count
    assert n["all"] == n["hold"] == n["learned"] + n["exact"] == n["tenth"] + n["own"] + n["none"]
    assert v["laptop.mnist_long.better_samples.verdict"] == "does not hold"
    ends = kept("laptop/curves")
    last = ends.groupby(["experiment", "arm"])["iteration"].transform("max")
    ends = ends[(ends["iteration"] == last) & (ends["arm"] != "improved")]
    c = ends[(ends["experiment"] == "cifar10_subset") & (ends["estimator"] == "efficient")]
    true, false = (c[c["debias"] == debias]["bpd"].item() for debias in (True, False))
    minutes, hours = v["record.cifar10_subset.gpu.seconds"] / 60, v["record.mnist.night.seconds"]
    return [
        f"by {mnist} (95% {mnist_range}) and {cifar} ({cifar_range}) at equal passes on MNIST and "
        "on the subset of CIFAR-10",
        f"(published: {v['published.gain']:.2f})",
        f"the last doubling of the passes that lead shrank by {shrank}",
        f"is larger by {ratio} on both (published: {published})",
        f"uniform times miss {missed} of the bound's gradient on both, debiased ones {debiased}",
        f"Of {n['all']} statements that are theorems {n['hold']} hold, {n['learned']} on nets "
        f"trained here and {n['exact']} with an exact drift: {n['tenth']} within a tenth of the "
        f"published effect, {n['own']} within margins of their own, {n['none']} without noise",
        "Samples do not improve on the longest pair, of MNIST",
        f"{v['record.cifar10_record.bpd']:.2f} ± {v['record.cifar10_record.std_err']:.2f} bits/dim "
        f"on the *subset* of CIFAR-10 after {minutes:.0f} minutes of an H200",
        f"{v['record.mnist_record.bpd']:.3f} ± {v['record.mnist_record.std_err']:.3f} bits/dim "
        f"after {hours / 3600:.1f} core-hours",
        f"nets that saw {ends['examples'].min():,} to {ends['examples'].max():,} images",
        f"where the paper's saw {v['published.examples'] / 1e6:.1f} million",
        f"end at {true:.2f} and {false:.2f} bits/dim on a subset of CIFAR-10",
        f"paper's are at {v['published.True']:.2f} and {v['published.False']:.2f} on all of it",
        *samples(),
        *verdicts(),
    ]


def samples() -> list[str]:
    """Of every pair of trainings which is farther from test images; and that on CIFAR-10 both are
    a thousand times as far as training images are."""
    of = kept("laptop/quality")
    of = of[of["space"].isin(["classes", "turns"]) & (of["arm"] != "improved")]
    of = of[of["iteration"] == of.groupby("experiment")["iteration"].transform("max")]
    by_arm = of[of["measure"] == "kernel"].pivot(
        index=["experiment", "seed"], columns="debias", values="value"
    )
    farther = (by_arm[True] > by_arm[False]).sum()
    assert farther == len(by_arm)
    cifar = of[of["experiment"] == "cifar10_subset"]
    real = cifar[cifar["measure"] == "kernel_of_real"]
    assert by_arm.loc["cifar10_subset"].min().min() > 1000 * real["value"].max()
    return [
        f"in all {farther} pairs of trainings the debiased ones are farther",
        f"after {cifar['iteration'].max()} iterations, both arms' are blobs",
    ]


def swissroll() -> list[str]:
    """Of the one arm at the paper's scale: distances of laws, ends, and hours of its jobs."""
    of = kept("paper-swissroll/distances")
    of = of[(of["source"] == "learned") & (of["fault"] == "none") & (of["steps"] == 1000)]
    of = of[of["sampler"] == "euler_maruyama"].set_index("lmbd")
    law, plain = above(of["distance"], of["null_mean"]), of["distance"] - of["null_mean"]
    last = kept("paper-swissroll/evaluation").groupby("estimator").last()
    paper, ours = (last.loc[name] for name in ("published", "efficient"))
    ode = kept("paper-swissroll/likelihood").iloc[-1]
    claims = kept("paper-swissroll/claims")
    exact, learned = claims[claims["name"] == "same_law"].itertuples()
    jobs = article().computed(REFERENCE / "paper-swissroll")
    minutes = [jobs[f"minutes.{rule}"] for rule in ("trajectory", "distances", "train")]
    rest = 60 * jobs["hours"] - sum(minutes)
    return [
        f"ends {learned.ours:.3f} from it (95% {learned.low:.3f} to {learned.high:.3f}) however "
        f"many steps it takes (p = {of['p_value'].min():.2f},",
        f"λ = 0.9 and {MINUS}10 end {law[0.9]:.3f} and {law[-10]:.3f} from it",
        f"every λ is at the floor, within {exact.high:.2f}",
        f"{plain[1]:.3f} for λ = 1",
        f"ends at {ours['bpd']:.3f} ± {ours['bpd_std_err']:.3f} bits/dim by the efficient "
        f"estimator "
        f"and at {paper['bpd']:.2f} ± {paper['bpd_std_err']:.2f} by the paper's",
        f"model, at {ode['bpd_ode']:.3f} ± {ode['bpd_ode_std_err']:.3f}",
        f"jobs took {jobs['hours']:.1f} hours of one core (trajectories {minutes[0]:.0f} minutes, "
        f"distances {minutes[1]:.0f}, training {minutes[2]:.0f}, the rest {rest:.0f})",
    ]


def swissroll_arms() -> list[str]:
    of = kept("paper-swissroll-arms/differences")
    of = of[of["estimator"] == "efficient"].set_index("iteration")["difference"]
    minutes = article().computed(REFERENCE / "paper-swissroll-arms")["minutes.train"] / 2
    assert f"{minutes:.0f}" == "9"  # nine, side by side
    return [f"by {-of[2000]:.2f} bits/dim at 2,000 iterations and by {-of[10000]:.2f} at 10,000"]


def laptop() -> list[str]:
    """What the README of the kept folder says of its tables in prose."""
    v = article().values(REFERENCE)
    mnist, long, cifar = (f"laptop.{name}" for name in ("mnist", "mnist_long", "cifar10_subset"))
    gap = kept("laptop/differences")
    gap = gap[(gap["estimator"] == "efficient") & (gap["second"] == "debias-False")]
    gap = -gap.groupby(["experiment", "iteration"])["difference"].mean()

    def moved(name):
        low, high = v[f"{name}.lower_bpd.change_low"], v[f"{name}.lower_bpd.change_high"]
        return f"{v[f'{name}.lower_bpd.change']:.2f}", f"{low:.2f} to {high:.2f}"

    (m, m_range), (n, n_range), (c, c_range) = map(moved, (mnist, long, cifar))
    theirs = published_curves()
    course = change(of_published(theirs), shared=False)
    curves = kept("laptop/curves")
    curves = curves[curves["estimator"] == "efficient"]
    ends = curves.groupby(["experiment", "arm"]).last()

    def share(frame, name):
        arms = (frame[frame[name] == value] for value in ("debias-True", "debias-False"))
        return share_of_passes(*arms)

    shares = [
        share(curves[curves["experiment"] == name], "arm") for name in ("mnist", "cifar10_subset")
    ]
    their_share = share_of_passes(*(theirs[theirs["debias"] == debias] for debias in (True, False)))
    first = [100 * v[f"{name}.bias.uniform.first"] for name in (mnist, cifar)]
    last = [100 * v[f"{name}.bias.debiased.last"] for name in (mnist, cifar)]
    (missed,) = {f"{v[f'{name}.bias.uniform.last']:.0%}" for name in (mnist, cifar)}
    of = kept("laptop/quality")
    of = of[of["space"].isin(["classes", "turns"])]
    blobs = of[(of["experiment"] == "cifar10_subset") & (of["measure"] == "kernel")]
    blobs = blobs[blobs["arm"] != "improved"]["value"]
    of = of[of["experiment"] == "mnist_long"]
    real = of[of["measure"] == "kernel_of_real"].iloc[0]
    rows = []
    for arm in ("debias-False", "debias-True"):
        part = of[(of["arm"] == arm) & (of["measure"] == "kernel")].sort_values("iteration")
        cells = [distance(row.value, row.std_err) for row in part.itertuples()]
        rows.append(f"| {arm.replace('-', ' ')} | {' | '.join(cells)} |")
    its = sorted(of["iteration"].unique())
    seen = ends["examples"]
    gain, ratio = v["published.gain"], v["published.log_ratio"]
    bpd = ends["bpd"]
    return [
        f"by about {gap['mnist', 900]:.0f} bit/dim at 900 iterations, by "
        f"{gap['mnist', 2400]:.2f} at "
        f"2,400, by {gap['mnist_long', 9600]:.2f} at 9,600",
        f"the lead shrinks by {m} ({m_range}) on MNIST, by {n} ({n_range}, over test images alone) "
        f"on the longer pair, and by {c} ({c_range}) on CIFAR-10, where it was largest at "
        f"{gap['cifar10_subset'].idxmax()} iterations, {gap['cifar10_subset'].max():.2f}",
        f"their lead grows by {-course.ours:.2f} "
        f"({-course.high:.2f} to {-course.low:+.2f})".replace("-", MINUS),
        f"after {shares[0]:.0%} of the passes on MNIST and {shares[1]:.0%} on CIFAR-10; in the "
        f"published curves, after {their_share:.0%}",
        f"miss {first[0]:.0f}% and {first[1]:.0f}% of the bound's gradient at the first "
        f"checkpoint, "
        f"{missed} on both at the last; debiased times miss {last[0]:.1f}% on MNIST and "
        f"{last[1]:.0f}%",
        f"distances are {float(f'{blobs.min():.2g}'):.0f} to {float(f'{blobs.max():.2g}'):,.0f}.",
        f"training images is {real['value']:.2f} ± {real['std_err']:.2f}):",
        f"| iteration | {' | '.join(f'{i:,}' for i in its)} |",
        *rows,
        f"see {seen['cifar10_subset', 'debias-True']:,} and {seen['mnist', 'debias-True']:,} "
        f"images",
        f"| {MINUS}{gain:.2f} ± {v['published.gain_error']:.2f} | {signed(v, cifar)} |",
        f"| +{ratio:.2f} ± {v['published.log_ratio_error']:.2f} | "
        f"+{v[f'{cifar}.higher_error.ours']:.3f} (no interval",
        f"| {v['published.True']:.2f} and {v['published.False']:.2f} by the paper's | "
        f"{bpd['cifar10_subset', 'debias-True']:.2f} and "
        f"{bpd['cifar10_subset', 'debias-False']:.2f} |",
        f"is at {bpd['cifar10_subset', 'improved']:.2f} bits/dim on CIFAR-10 after "
        f"{seen['cifar10_subset', 'improved']:,} images and at {bpd['mnist', 'improved']:.2f} on "
        f"MNIST "
        f"({bpd['mnist', 'debias-True']:.2f} and {bpd['mnist', 'debias-False']:.2f} for True and "
        f"False) "
        f"after {seen['mnist', 'improved']:,}.",
        f"jobs took {article().computed(REFERENCE / 'laptop')['hours']:.1f} hours of one core",
    ]


def distance(value: float, error: float) -> str:
    """The error with one digit, the value as far; of noise the value alone."""
    if value > 1e5:
        return f"{round(value, -3):,.0f}"
    digits = -math.floor(math.log10(error))
    by = round(value, digits), round(error, digits)
    return " ± ".join(f"{x:,.{max(digits, 0)}f}" for x in by)


def signed(v: dict, of: str, digits: int = 3) -> str:
    """A claim's value and interval."""
    ours, low, high = (v[f"{of}.lower_bpd.{end}"] for end in ("ours", "low", "high"))
    return f"{ours:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})".replace("-", MINUS)


def laptop_in_short() -> list[str]:
    """What the page on claims says of the laptop preset and of the Swissroll."""
    v = article().values(REFERENCE)
    mnist, cifar = "laptop.mnist", "laptop.cifar10_subset"
    a, b = (signed(v, of).replace("(", "95% ", 1).replace(")", "") for of in (mnist, cifar))
    a = a.replace(" 95%", ", 95%")
    b = b.replace(" 95% ", ", ")
    errors = [v[f"{of}.higher_error.ours"] for of in (mnist, cifar)]
    (larger,) = {f"{math.expm1(of):.0%}" for of in (*errors, v["published.log_ratio"])}
    m, c = (
        f"{v[f'{of}.lower_bpd.change']:.2f} ({v[f'{of}.lower_bpd.change_low']:.2f} to "
        f"{v[f'{of}.lower_bpd.change_high']:.2f})"
        for of in (mnist, cifar)
    )
    law = [v[f"swissroll.swissroll.same_law_2.{end}"] for end in ("ours", "low", "high")]
    both = [v[f"arms.swissroll.lower_bpd.{end}"] for end in ("ours", "low", "high")]
    gap = kept("paper-swissroll-arms/differences")
    gap = gap[gap["estimator"] == "efficient"].set_index("iteration")["difference"]
    effect = v["published.gain"], v["published.gain_error"]
    ratio = v["published.log_ratio"], v["published.log_ratio_error"]
    best = kept("recipes/step_sizes").groupby(["data", "arm", "lr"])["bpd"].mean()
    at = {key: best[key].min() for key in {key[:2] for key in best.index}}
    rows = [
        f"{effect[0]:.3f} ± {effect[1]:.3f} bits/dim, and {ratio[0]:.3f} ± {ratio[1]:.3f} for the "
        f"log ratio of the standard errors ({math.expm1(ratio[0]):.0%} more)",
        f"the published effect of debiasing, {effect[0]:.3f} ± {effect[1]:.3f} bits/dim",
        f"({a}, on MNIST; {b}, on CIFAR-10; published -{effect[0]:.2f} ± {effect[1]:.2f})",
        f"on MNIST by {m}, to {-v['laptop.mnist_long.lower_bpd.ours']:.2f} after four times",
        f"on CIFAR-10 by {c}.",
        f"are larger by {larger} on both, as published (log ratios +{errors[0]:.3f} and "
        f"+{errors[1]:.3f}; published +{ratio[0]:.2f})",
        f"λ = 1 ends {law[0]:.3f} from the data (95% {law[1]:.3f} to {law[2]:.3f})",
        f"the {law[0]:.3f} that λ = 1 has at the paper's scale",
        f"by {-gap[10000]:.2f} bits/dim at 10,000",
        f"the difference is {both[0]:.3f} (95% {both[1]:.3f} to {both[2]:.3f})",
        f"are {at['photos', 'debias-False'] - at['photos', 'debias-True']:.2f} apart",
        f"{best['photos', 'debias-False', 0.003] - best['photos', 'debias-True', 0.003]:.2f} at "
        f"the "
        "common step size of 0.003",
        f"ahead by {at['digits', 'debias-True'] - at['digits', 'debias-False']:.3f} at its best",
    ]
    effects = kept("paper-swissroll/claims").set_index("name")["effect"]
    rows += [
        f"| {effects['forms_agree']:.3f} bits/dim, for forms",
        f"| {effects['gap']:.3f} nats, for the gap",
        f"| {effects['feynman_kac']:.1%}, for ratios",
        f"| {effects['layers_slope'].iloc[0]:.2f}, for the slope",
        f"| {effects['same_law'].iloc[0]:.1f}, for Wasserstein",
        f"| Swissroll, 100,000 iterations | {long_course('uniform', 2)} | "
        f"{long_course('debiased', 4)} |",
    ]
    for name, experiment in (("MNIST, laptop", mnist), ("CIFAR-10 subset, laptop", cifar)):
        cells = [bias_course(experiment.partition(".")[2], law) for law in ("uniform", "debiased")]
        ends = [v[f"{experiment}.bias.debiased_{by}.last"] for by in ("tenfold", "tenth")]
        rows.append(f"| {name} | {cells[0]} | {cells[1]} | {ends[0]:.2f} | {ends[1]:.3f} |")
    return [minus(row) for row in rows]


def minus(row: str) -> str:
    return re.sub(r"(?<![\w)])-(?=\d)", MINUS, row)


def long_course(law: str, digits: int) -> str:
    """Of the Swissroll's training at the paper's scale, at the first checkpoint and at the end."""
    of = kept("paper-swissroll/gradient")
    of = of[of["law"] == law].sort_values("iteration")["relative_bias"]
    return f"{of.iloc[0]:.3f}, \N{EN DASH}, {of.iloc[-1]:.{digits}f}"


def bias_course(experiment: str, law: str) -> str:
    """At the first checkpoint, in the middle and at the end."""
    of = kept("laptop/gradient")
    of = of[(of["experiment"] == experiment) & (of["law"] == law)].sort_values("iteration")
    first, middle, last = of["relative_bias"]
    digits = (3, 2, 2) if law == "uniform" else (3, 3, 3)
    return ", ".join(f"{x:.{d}f}" for x, d in zip((first, middle, last), digits, strict=True))


def recipes() -> list[str]:
    """Tables of docs/recipes.md."""
    subset = kept("recipes/cifar10_subset").groupby(["recipe", "images"])[["bpd", "seconds"]]
    mean, sem = subset.mean(), subset.sem()
    names = {
        "debias False (Adam 2e-3)": ("debias False", 6400),
        "debias True (Adam 2e-3)": ("debias True", 6400),
        "improved, with the linear part": ("improved", 1600),
    }
    found = [
        f"| {name} | {key[1]:,} | {mean['bpd'][key]:.3f} ± {sem['bpd'][key]:.3f} | "
        f"{mean['seconds'][key]:.0f} |"
        for name, key in names.items()
    ]
    by = kept("recipes/ablation").groupby("recipe")
    mean, sem, images = by["bpd"].mean(), by["bpd"].sem(), by["images"].first()
    for recipe, seconds in by["seconds"].mean().items():
        name = recipe.replace(" for ", " instead of ")
        found.append(
            f"| {name} | {images[recipe]:,} | {mean[recipe]:.3f} ± {sem[recipe]:.3f} | "
            f"{seconds:.0f} |"
        )
    levels = kept("recipes/levels").groupby(["recipe", "images"])["bpd"].last()
    for name, recipe in {
        "Adam 4e-3 (its best)": "Adam 4e-3", "Adam 8e-3": "Adam 8e-3",
        "Adam 1.6e-2": "Adam 1.6e-2", "Muon": "4 x 4, Muon",
    }.items():  # fmt: skip
        after = (levels[f"levels, {recipe}", images] for images in (600, 1200))
        found.append(f"| {name} | {' | '.join(f'{x:.3f}' for x in after)} |")
    for row in kept("recipes/mnist_full").itertuples():
        found.append(f"| {row.images:,} | {row.bpd:.3f} ± {row.std_err:.3f} |")

    def at(name, images=4800):
        return f"{levels[name, images]:.3f}"

    base, drift = "9 groups, posteriors (what was built)", "the same without the added drift"
    found += [
        f"({at('the same with posteriors as inputs')} instead of {at(base)})",
        f"16 groups instead of 9 ({at('16 groups', 2400)} instead of "
        f"{at('the same with posteriors as inputs', 2400)} after 2,400)",
        f"without the added drift ({at(drift)} instead of {at(base)})",
    ]
    return found


def records_in_prose() -> list[str]:
    """What stands beside the table of records, from that table's rows."""
    last = kept("recipes/record_course").groupby(["data", "entry"]).last()
    hour, night = last.loc[("cifar10_subset", "hour")], last.loc[("cifar10_subset", "night")]
    mnist = last.loc[("mnist", "hour")]
    ours = kept("pretrained/records").set_index("name")
    m = f"{ours['bpd']['mnist-record']:.3f}"
    error = f"{ours['std_err']['mnist-record']:.3f}"
    course = kept("recipes/record_course")
    gpu = course[course["entry"] == "gpu"].reset_index()
    passes = gpu["passes"].round(-3)
    return [
        f"was 3.55. It is beaten by {3.55 - hour['bpd']:.2f}, with {hour['seconds'] - 3600:.0f} "
        f"seconds",
        f"for it: {night['bpd']:.3f}.",
        f"beats with {mnist['bpd']:.3f};",
        f"less than two core-hours give {m}.",
        f"is at {ours['bpd']['cifar10-record']:.2f}.",
        f"CIFAR-10 says {hour['bpd']:.3f} and",
        f"MNIST says {mnist['bpd']:.3f} and",
        f"were at {gpu['bpd'][0]:.2f} after {passes[0]:,} passes at a constant step size, "
        f"{gpu['bpd'][1]:.2f} after {passes[1]:,}, {gpu['bpd'][2]:.2f} after {passes[2]:,}.",
        f"came out at {hour['bpd']:.3f} ± {hour['std_err']:.3f} on all test images, MNIST at "
        f"{mnist['bpd']:.3f} ± {mnist['std_err']:.3f}.",
        f"{night['bpd']:.3f} ± {night['std_err']:.3f} and {m} ± {error} came out",
    ]


def peers() -> list[str]:
    """Of README.md the ratios of passes, from the tables of benchmarks/README.md."""
    tables = re.findall(
        r"^\| ([^|]+) \|(?:[^|]*\|){4} ([\d,.]+) \|(?:[^|]*\|){3}$",
        (ROOT / "benchmarks" / "README.md").read_text(),
        re.M,
    )
    of: dict[str, list[float]] = {}
    for name, ratio in tables:
        of.setdefault(name.strip(), []).append(float(ratio.replace(",", "")))
    exact = [name for name in ("k-diffusion", "flow_matching, midpoint 0.02", "score_sde's ODE")]
    best = min(of[name][0] for name in exact), min(of[name][1] for name in exact)
    strata, usual = (sorted(of[name]) for name in ("VDM's strata, 32 times", "usual, 1 probe"))
    return [
        f"needs {best[0]:.1f} (an exact network) to {best[1]:.0f} times (a trained one) the "
        f"passes of "
        f"ours, VDM's strata {strata[0]:.0f} to {strata[1]:.0f} times, the usual estimator "
        f"{usual[0]:.0f} to {float(f'{usual[1]:.2g}'):,.0f} times"
    ]


def plan() -> list[str]:
    """Of docs/using.md what `vdiff plan paper` says at the published rate of a V100."""
    every = costs(load_config({"preset": "paper"}), Path("data"))
    rate = rates()["V100"][0]
    hours = {(c.experiment, c.step): c.hours(rate) for c in every}
    total = sum(hours.values())
    rest = sum(h for (_, step), h in hours.items() if step != "train")
    cifar, mnist = (hours[name, "train"] / 2 for name in ("cifar10", "mnist"))
    disk = sum(c.disk for c in every) / 1e9
    return [
        f"the rest: {total:.0f} hours of a V100",
        f"trains for {cifar:.0f} hours on CIFAR-10 and for {60 * mnist:.0f} minutes on MNIST, "
        f"and the "
        f"measurements afterwards take {rest:.0f} hours more. That is {total:.0f} hours on one "
        f"such "
        f"GPU, or {total / 2:.0f} on two or more, where the arms train side by side, with "
        f"{disk:.0f} "
        "GB of disk",
    ]


@cache
def said() -> dict[str, list[str]]:
    """By page: the texts that it must have, with any white space."""
    at_hour = kept("recipes/record_course").groupby(["data", "entry"]).last().loc[("mnist", "hour")]
    hour = f"{at_hour['bpd']:.3f} ± {at_hour['std_err']:.3f}"
    folder = "results/reference/{}/README.md".format
    return {
        "README.md": [*readme(), *peers()],
        "docs/claims.md": [*courses(), *tails(), *step_sizes(), *laptop_in_short()],
        "docs/record.md": [*record_rows(), *searches(), *hour_search(), *records_in_prose()],
        "docs/recipes.md": [f"is at {hour} after an hour", *recipes()],
        "docs/using.md": plan(),
        folder("laptop"): [*claims_of("laptop"), *laptop()],
        folder("paper-swissroll"): [*claims_of("paper-swissroll"), *swissroll()],
        folder("paper-swissroll-arms"): [*claims_of("paper-swissroll-arms"), *swissroll_arms()],
    }
