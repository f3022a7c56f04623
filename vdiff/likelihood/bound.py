"""The bound of the reverse SDE by draws of the efficient estimator, and what it is fitted on."""

import torch
from torch import Tensor

from vdiff.diffusion.control import ControlVariates, efficient
from vdiff.diffusion.drift import Drift, checked
from vdiff.diffusion.sde import SDE, at
from vdiff.stats.few import strata

PILOT = 1024  # training examples that a fit takes of those there are
PILOT_NUMBERS = 2**28  # in the pilot examples that a fit takes, at most: a gigabyte of float32
DRAWS = 256  # that a fit takes at least, several of each example where these are fewer
OWN, OWN_STEPS = 256, 20  # samples that a fit makes where there are none, and their steps


def eps_t_of(sde: SDE, s_min: float) -> float:
    """Where time distributions stop following log NSR: sigma / m = 0.01, or where nets do."""
    return max(s_min, float(sde.invert_log_nsr(at(torch.tensor(1e-4).log().item()))))


def times_of_one(draws: int) -> tuple[Tensor, float]:
    """(where, width): the stratum of each draw of an example (draws,) and a stratum's width."""
    where = torch.from_numpy(strata(draws))
    return where, 1 / float(where[-1] + 1)


@torch.no_grad()
def bound(a: Drift, y: Tensor, u: Tensor, eps: Tensor, controls: ControlVariates) -> Tensor:
    """One draw for each row y (B, ...), uniforms u (B,) behind its time and noise eps like y: (B,)
    nats, float64. Raises VdiffError when the network's output is not finite."""
    return efficient(checked(a), y, u, eps, controls).value
