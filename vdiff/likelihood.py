"""The ODE likelihood of a network beside its ELBO, on the same test examples."""

import numpy as np

from vdiff.bits import bits_per_dim
from vdiff.config import ODE
from vdiff.evaluate import TestSet, chunks
from vdiff.ode import log_likelihood
from vdiff.precision import products
from vdiff.progress import bar
from vdiff.reverse import Drift
from vdiff.samplers.state import in_float64
from vdiff.sde import VPSDE
from vdiff.seeds import normal_per_example

EXACT_UP_TO = 8  # dimensions in which the trace is taken exactly


def ode_bpd(
    sde: VPSDE,
    a: Drift,
    test: TestSet,
    settings: ODE,
    tolerance: float,
    device: str = "cpu",
    description: str = "likelihood",
) -> tuple[np.ndarray, int]:
    """(bits/dim (n,), network evaluations of all batches); tolerance is rtol and atol.

    The dequantisation noise is that of pass 0 of the ELBO; probes are Rademacher, one an image.
    """
    x = test.examples
    exact = x[0].numel() <= EXACT_UP_TO
    values, evaluations = [], 0
    with bar(len(x), description, unit="image") as progress:
        for index, part in chunks(test, settings.batch_size):
            y, log_det = test.real_vectors(part, index, 0)
            probe = None
            if not exact:
                probe = (
                    normal_per_example(index, y.shape[1:], "ode probe").sign().double().to(device)
                )
            found = log_likelihood(
                sde, in_float64(a), y.to(device), probe, rtol=tolerance, atol=tolerance
            )
            d = part[0].numel()
            bpd = bits_per_dim(found.log_prob.cpu(), log_det.double(), d, test.levels)
            values.append(bpd.numpy())
            evaluations += found.evaluations
            progress.update(len(part))
    return np.concatenate(values), evaluations


def likelihood_row(
    sde: VPSDE,
    a: Drift,
    test: TestSet,
    settings: ODE,
    elbo: np.ndarray,
    device: str,
    description: str,
) -> dict:
    """The columns of the schema likelihood; elbo: bits/dim (R, n) of the same images.

    gap: the negative ELBO less the exact value, image by image, with its standard error.

    change is the mean absolute difference to a run at a tolerance ten times as loose.
    """
    with products("float32"):
        z, evaluations = ode_bpd(sde, a, test, settings, settings.tolerance, device, description)
        loose, _ = ode_bpd(sde, a, test, settings, 10 * settings.tolerance, device, description)
    mean = elbo.mean(0)
    return {
        "images": len(z),
        "bpd_ode": z.mean(),
        "bpd_ode_std_err": _std_err(z),
        "bpd_elbo": mean.mean(),
        "bpd_elbo_std_err": _std_err(mean),
        "gap": (mean - z).mean(),
        "gap_std_err": _std_err(mean - z),
        "trace": "exact" if test.examples[0].numel() <= EXACT_UP_TO else "hutchinson",
        "tolerance": settings.tolerance,
        "change": np.abs(z - loose).mean(),
        "evaluations": evaluations,
    }


def _std_err(z: np.ndarray) -> float:
    return float(z.std(ddof=1) / len(z) ** 0.5)
