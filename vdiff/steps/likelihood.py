"""The ODE likelihood of a network beside its ELBO, on the same test examples."""

import logging
import math
from dataclasses import asdict

import numpy as np
from torch import Tensor

from vdiff.config import Evaluation, Likelihood
from vdiff.diffusion.drift import Drift
from vdiff.likelihood.ode import EXACT_UP_TO, solved
from vdiff.machine.precision import products
from vdiff.machine.progress import bar
from vdiff.machine.seeds import normal_per_example
from vdiff.stats import tails
from vdiff.stats.intervals import std_err
from vdiff.steps import BACKWARD, Measured
from vdiff.steps.evaluate import bits_of, chunks, evaluate, examples_of
from vdiff.trained import Trained

log = logging.getLogger(__name__)

SOLVER = 200  # evaluations by the solver, of both tolerances together, about


def ode_bpd(
    model: Trained, a: Drift, x: Tensor, tolerance: float, batch_size: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """(bits/dim (N,), their change at a tolerance ten times as loose, network evaluations) of
    examples x (N, ...) as stored; tolerance is rtol and atol.

    The dequantisation noise is that of pass 0 of the ELBO; probes are Rademacher, one per image.
    """
    values, changes, evaluations = [], [], 0
    name = f"likelihood {model.run.label}"
    with products("float32"), bar(len(x), name, unit="image") as progress:
        for index, part in chunks(x, batch_size):
            y, log_det = model.data.vectors(part, index, 0)
            noise = None
            if model.dims > EXACT_UP_TO:
                noise = normal_per_example(index, y.shape[1:], "ode probe").to(model.device)
            solution = solved(model.sde, lambda rows: a, y.to(model.device), noise, tolerance)
            values.append(bits_of(model.data, solution.log_prob.cpu() + log_det.double()))
            changes.append(solution.change.cpu().numpy() / (model.dims * math.log(2)))
            evaluations += solution.evaluations
            progress.update(len(part))
    return np.concatenate(values), np.concatenate(changes), evaluations


def measure(model: Trained, settings: Likelihood) -> Measured:
    """The last snapshot's exact and bounded bits/dim, and the gap between them, image by image.

    change is the mean absolute difference to a run at a tolerance ten times as loose.
    """
    a = model.drift()
    of_elbo = Evaluation(
        images=settings.images,
        passes=settings.passes,
        pilot=settings.pilot,
        batch_size=settings.batch_size,
    )
    elbo = evaluate(model, a, of_elbo, "efficient").z.mean(0)
    x = examples_of(model.data, settings.images)
    z, change, evaluations = ode_bpd(model, a, x, settings.tolerance, settings.batch_size)
    tail = tails.worst_tail(v - v.mean() for v in (z, elbo, elbo - z))
    row = {
        "iteration": model.snapshots[-1].iteration,
        "images": len(z),
        "bpd_ode": z.mean(),
        "bpd_ode_std_err": std_err(z),
        "bpd_elbo": elbo.mean(),
        "bpd_elbo_std_err": std_err(elbo),
        "gap": (elbo - z).mean(),
        "gap_std_err": std_err(elbo - z),
        "trace": "exact" if model.dims <= EXACT_UP_TO else "hutchinson",
        "tolerance": settings.tolerance,
        "change": change.mean(),
        "evaluations": evaluations,
        **asdict(tail),
    }
    if tail.doubtful:
        log.warning("likelihood: %s", tails.why(row))
    message = (
        "ODE: {bpd_ode:.4f} bits/dim ({change:.4f} from a looser tolerance), ELBO: "
        "{bpd_elbo:.4f}, {evaluations} network evaluations."
    ).format(**row)
    return Measured({"out": [row]}, message)


def cost(settings: Likelihood, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    n = min(settings.images, test)
    return n * SOLVER * (1 + BACKWARD) + n * settings.passes + settings.pilot
