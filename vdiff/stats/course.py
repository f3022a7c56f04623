"""How the gap of two arms goes on with training: its change over the last doubling of the passes,
and the passes that one arm saves."""

import numpy as np
import pandas as pd

from vdiff.stats.evidence import Estimate, over_seeds, undecided
from vdiff.stats.gains import reached
from vdiff.stats.intervals import late
from vdiff.stats.tails import doubts


def change(gaps: pd.DataFrame, shared: bool = True) -> Estimate | None:
    """The gap at the end less the gap had training ended half way, each the mean of a last fifth
    (`late`); None where no checkpoint is there. No line is fitted: gaps grow and shrink again.

    gaps: the columns seed, iteration, difference, std_err (in its unit) and images; where it has
    those of a tail, too, an error that fails the check gives no interval. shared: whether
    checkpoints may share their noise; the sum of two errors is then the bound of the difference's.
    The interval of 95% covers retraining only where there are several seeds.
    """
    end = gaps["iteration"].max()
    ends = [late(gaps, at).groupby("seed") for at in (end, end / 2)]
    after, before = (part["difference"].mean() for part in ends)
    if before.empty:
        return None
    if shared:
        error = sum(part["std_err"].mean() for part in ends)
    else:
        error = np.sqrt(sum(part["std_err"].agg(lambda e: np.square(e).sum() / len(e) ** 2)
                            for part in ends))  # fmt: skip
    moved = over_seeds(after - before, error, gaps["images"].min() - 1, 1)
    rests_on = pd.concat([late(gaps, at) for at in (end, end / 2)])
    return undecided(moved) if "k_hat" in gaps and doubts(rests_on).any() else moved


def share_of_passes(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """The passes after which the first curve is where the second ends, over the second's; NaN if it
    never is. Curves have the columns iteration and bpd; both are means over the last tenth of their
    points, lest the noise of one decides."""
    curves = [c[c["iteration"] > 1].sort_values("iteration") for c in (first, second)]
    bpd = [c["bpd"].rolling(max(1, len(c) // 10), min_periods=1).mean() for c in curves]
    passes = [c["iteration"].to_numpy(float) for c in curves]
    return reached(passes[0], bpd[0].to_numpy(), bpd[1].iloc[-1]) / passes[1][-1]


def of_published(curves: pd.DataFrame) -> pd.DataFrame:
    """The gap of the published curves, True minus False, as `change` takes it. Each evaluation has
    its own noise; that two arms share their test images is not counted on."""
    after = curves[curves["iteration"] > 1]
    by_arm = after.pivot(index="iteration", columns="debias", values=["bpd", "bpd_std_err"])
    bpd, error = by_arm["bpd"], by_arm["bpd_std_err"]
    gap = {"difference": bpd[True] - bpd[False], "std_err": np.hypot(error[True], error[False])}
    return pd.DataFrame(gap).reset_index().assign(seed=0, images=np.inf)
