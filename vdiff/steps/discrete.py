"""The probability of the test images' grey levels, bounded by K draws that share their weights."""

import torch

from vdiff.config import Discrete
from vdiff.diffusion.discrete import log_mean_exp
from vdiff.diffusion.drift import Drift
from vdiff.likelihood.layers import path_weights
from vdiff.machine.precision import products
from vdiff.machine.progress import bar
from vdiff.machine.seeds import normal_streams
from vdiff.stats.intervals import std_err
from vdiff.steps import Measured
from vdiff.steps.evaluate import bits_of, chunks, examples_of
from vdiff.trained import Trained


def path_log_weights(model: Trained, a: Drift, settings: Discrete) -> torch.Tensor:
    """(K, n) float64, nats: log of unbiased estimates of each test image's mean density on [0, 1]^d
    over its cell.

    Draw k's dequantisation noise is that of pass k of the ELBO; each path has its own noise.
    """
    examples = examples_of(model.data, settings.images)
    draws = range(max(settings.draws))
    weights = []
    name = f"discrete {model.run.label}"
    with products("float32"), bar(len(draws), name, unit="draw") as progress:
        for k in draws:
            parts = []
            for index, part in chunks(examples, settings.batch_size):
                x, log_det = model.data.vectors(part, index, k)
                noise = normal_streams(index, "discrete noise", k)
                w = path_weights(model.sde, a, x.to(model.device), settings.layers, noise).cpu()
                parts.append(w + log_det.double())
            weights.append(torch.cat(parts))
            progress.update()
    return torch.stack(weights)


def measure(model: Trained, settings: Discrete) -> Measured:
    """Bits/dim of the last snapshot by each number of draws, and what it gains on one draw.

    ess is the effective number of draws, (sum w)^2 / sum w^2, in the mean over images.
    """
    log_w = path_log_weights(model, model.drift(), settings)
    one = bits_of(model.data, log_w.mean(0))
    rows = []
    for k in settings.draws:
        bpd = bits_of(model.data, log_mean_exp(log_w, k).mean(0))
        p = log_w[:k].softmax(0)
        rows.append(
            {
                "iteration": model.snapshots[-1].iteration,
                "images": len(bpd),
                "layers": settings.layers,
                "draws": k,
                "bpd": bpd.mean(),
                "bpd_std_err": std_err(bpd),
                "gain": (one - bpd).mean(),
                "gain_std_err": std_err(one - bpd),
                "ess": float((1 / p.square().sum(0)).mean()),
            }
        )
    shown = ", ".join("{draws}: {bpd:.4f} ± {bpd_std_err:.4f}".format(**row) for row in rows)
    return Measured({"out": rows}, f"Bits/dim of the grey levels by number of draws: {shown}.")


def cost(settings: Discrete, snapshots: int, test: int, shape: tuple[int, ...]) -> float:
    """Forward passes of one example, for a run with so many snapshots and test examples."""
    return min(settings.images, test) * max(settings.draws) * settings.layers
