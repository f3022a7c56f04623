"""How the gap of two arms goes on with training: its trend, and the passes that one arm saves."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from vdiff.stats.gains import reached
from vdiff.stats.intervals import std_err, t95

DOUBLINGS = 2  # of passes, at the end of training, over which the trend is taken
LEAST = 3  # seeds whose scatter is an error; checkpoints behind a line


class Trend(NamedTuple):
    """Of the gap, in its unit per doubling of passes; the interval covers 95%. over: what its
    error is from, `seeds` or the scatter of `checkpoints` about the line."""

    slope: float
    low: float
    high: float
    over: str


def trend(gaps: pd.DataFrame) -> Trend | None:
    """The trend of a gap with the columns seed, iteration and difference; None for too few
    checkpoints. Least squares on log2 of the iteration over the last DOUBLINGS."""
    late = gaps[gaps["iteration"] >= gaps["iteration"].max() / 2**DOUBLINGS]
    slopes = [slope for _, part in late.groupby("seed") if (slope := _slope(part)) is not None]
    if len(slopes) >= LEAST:
        slope, half = float(np.mean(slopes)), t95(len(slopes) - 1) * std_err(np.array(slopes))
        return Trend(slope, slope - half, slope + half, "seeds")
    mean = late.groupby("iteration", as_index=False)["difference"].mean()
    if len(mean) < LEAST:
        return None
    line = stats.linregress(np.log2(mean["iteration"]), mean["difference"])
    slope, half = float(line.slope), float(t95(len(mean) - 2) * line.stderr)
    return Trend(slope, slope - half, slope + half, "checkpoints")


def _slope(part: pd.DataFrame) -> float | None:
    if part["iteration"].nunique() < 2:
        return None
    return float(np.polyfit(np.log2(part["iteration"]), part["difference"], 1)[0])


def share_of_passes(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """The passes after which the first curve is where the second ends, over the second's; NaN if it
    never is. Curves have the columns iteration and bpd; both are means over the last tenth of their
    points, lest the noise of one decides."""
    curves = [c[c["iteration"] > 1].sort_values("iteration") for c in (first, second)]
    bpd = [c["bpd"].rolling(max(1, len(c) // 10), min_periods=1).mean() for c in curves]
    passes = [c["iteration"].to_numpy(float) for c in curves]
    return reached(passes[0], bpd[0].to_numpy(), bpd[1].iloc[-1]) / passes[1][-1]


def of_published(curves: pd.DataFrame) -> pd.DataFrame:
    """The gap of the published curves, True minus False, as `trend` takes it."""
    by_arm = curves[curves["iteration"] > 1].pivot(
        index="iteration", columns="debias", values="bpd"
    )
    gap = (by_arm[True] - by_arm[False]).rename("difference").reset_index()
    return gap.assign(seed=0)
