"""Bits/dim of the records against network passes and core-seconds, beside what was predicted.

python benchmarks/record_course.py [--reference results/reference/recipes] [--out FILE.png]

Reads record_search.csv (the short searches) and record_course.csv (the long runs). A prediction was
made from the searches before the long runs (docs/record.md).
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from vdiff.figures import style

PREDICTED = {  # data: (law of bits/dim by passes, its words, passes of the hour, what was said)
    "cifar10_subset": (
        lambda n: 3.28 + 1456 * n**-0.8, "3.28 + 1,456 passes$^{-0.8}$", 64_000, 3.44
    ),
    "mnist": (lambda n: 0.717 + 1.51 * n**-0.17, "0.717 + 1.51 passes$^{-0.17}$", 400_000, 0.92),
}  # fmt: skip
TITLES = {"cifar10_subset": "CIFAR-10 subset", "mnist": "MNIST"}
ENTRIES = ("hour", "night", "gpu", "avx2", "block")
LOOKS = {entry: look.color for entry, look in zip(ENTRIES, style.OTHERS, strict=True)}
WORDS = {
    "hour": "an hour of one core",
    "night": "under two core-hours",
    "gpu": "twelve minutes of an H200",
    "avx2": "64 channels, an AVX2 hour",
    "block": "one block a level, an hour",
}


def panel(ax, search: pd.DataFrame, course: pd.DataFrame, data: str) -> None:
    law, words, at, said = PREDICTED[data]
    for k, (_, rows) in enumerate(search.groupby("recipe")):
        rows = rows[rows["bpd"] < rows["bpd"].min() + 1]
        label = "searches, 20 core-minutes each" if k == 0 else None
        ax.plot(rows["passes"], rows["bpd"], color="0.7", lw=0.8, label=label)
    for entry, rows in course.groupby("entry"):
        rows = rows[rows["passes"] > 0]
        error = 1.96 * rows["std_err"]
        ax.errorbar(
            rows["passes"], rows["bpd"], error, color=LOOKS[entry], marker="o", ms=3, capsize=2,
            label=WORDS[entry],
        )  # fmt: skip
    n = np.geomspace(5e3, 8e5, 50)
    ax.plot(n, law(n), "k--", lw=0.8, label=f"predicted: {words}")
    ax.plot(at, said, "kx", ms=8, mew=2, label=f"predicted after the hour: {said}")
    ax.set(xscale="log", xlabel="network passes", ylabel="bits/dim", title=TITLES[data])
    low, high = min(course["bpd"].min(), said), search["bpd"].median()
    ax.set_ylim(low - 0.05, high + 0.3 * (high - low))
    hour = course[(course["entry"] == "hour") & (course["passes"] > 0)].iloc[-1]
    rate = hour["seconds"] / hour["passes"]
    top = ax.secondary_xaxis("top", functions=(lambda x: x * rate, lambda x: x / rate))
    top.set_xlabel("core-seconds of the hour's net")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize=6, ncols=2)


@style.paper()
def draw(search: pd.DataFrame, course: pd.DataFrame, out: Path) -> None:
    figure, axes = plt.subplots(1, len(PREDICTED), figsize=(style.PAGE, 3.4), layout="constrained")
    for ax, data in zip(axes, PREDICTED, strict=True):
        panel(ax, search[search["data"] == data], course[course["data"] == data], data)
    style.save(figure, [out])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, default=Path("results/reference/recipes"))
    parser.add_argument("--out", type=Path, default=Path("docs/record-course.png"))
    options = parser.parse_args()
    search, course = (
        pd.read_csv(options.reference / f"record_{name}.csv") for name in ("search", "course")
    )
    print("| data | run | passes | seconds | bits/dim | predicted |")
    print("|---|---|---|---|---|---|")
    for row in course[course["passes"] > 0].itertuples():
        law = PREDICTED[row.data][0](row.passes)
        cells = [TITLES[row.data], WORDS[row.entry], f"{row.passes:,}", f"{row.seconds:,.0f}"]
        print(f"| {' | '.join(cells)} | {row.bpd:.3f} ± {row.std_err:.3f} | {law:.3f} |")
    draw(search, course, options.out)


if __name__ == "__main__":
    main()
