"""How right `vdiff.wrap` is: networks with the exact score of a mixture, in every prediction and
schedule, against its known density.

    python benchmarks/oracle.py [--examples 2000] [--draws 64] [--schedules vp,edm]

The mixture has three Gaussians in three dimensions. Shown is the mean of log_prob less the true
log density, in nats per dimension, with its standard error over examples and noise.
"""

import argparse
import math

import numpy as np
import torch

import vdiff
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.ve import VESDE
from vdiff.diffusion.tensors import expand_like
from vdiff.likelihood.wrap import SCHEDULES

MEANS = torch.tensor([[-0.8, 0.3, 0.1], [0.6, 0.6, -0.5], [0.1, -0.9, 0.7]], dtype=torch.float64)
VARIANCE = 0.05
PREDICTS = ("score", "drift", "noise", "x0", "velocity", "v", "F")
VP = [name for name in SCHEDULES if name not in ("ve", "edm", "flow")]  # m^2 + sigma^2 = 1
CASES = [(s, p) for s in SCHEDULES for p in ("score", "drift", "noise", "x0", "velocity")]
CASES += [(s, "v") for s in VP] + [("edm", "F")]


def exact(sde, predicts, means=MEANS):
    """A network with the true score of the mixture, in the SDE's own time, float32 as networks are;
    its conversions are written out here anew."""
    data = Mixture(sde, means, VARIANCE)

    def net(y, s):
        s = s.double()
        if predicts == "F":  # undo what EDM's network is shown
            sigma = torch.exp(4 * s)
            y = y * expand_like((sigma**2 + 0.25).sqrt(), y)
            s = sigma
        y = y.double()
        m, sigma, rate, g2 = (expand_like(f(s), y) for f in (sde.m, sde.sigma, sde.rate, sde.g2))
        drift = data.a(y, s)
        score = drift / g2.sqrt()
        x0 = (y + sigma**2 * score) / m
        eps = -sigma * score
        if predicts == "F":
            total = sigma**2 + 0.25
            return ((x0 - 0.25 / total * y) / (0.5 * sigma / total.sqrt())).float()
        found = {"score": score, "noise": eps, "x0": x0, "v": m * eps - sigma * x0, "drift": drift}
        found["velocity"] = rate * y - g2 * score / 2
        return found[predicts].float()

    return net


def wrapped(schedule, predicts, means=MEANS, **keys):
    net = exact(SCHEDULES[schedule][0](), predicts, means)
    more = {"schedule": schedule, "predicts": predicts, "data": (3,), "time": lambda s: s}
    return vdiff.wrap(net, **{**more, **keys})


def examples(n, seed=0, means=MEANS):
    """x (n, 3) of the mixture and their log densities (n,) in nats."""
    data = Mixture(VESDE(), means, VARIANCE)
    x = data.sample(n, torch.Generator().manual_seed(seed))
    return x, data.log_prob(x, torch.zeros(n, dtype=torch.float64)).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--schedules", default=",".join(SCHEDULES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, truth = examples(options.examples)
    print(f"| schedule | {' | '.join(PREDICTS)} |")
    print("|---|" + "---|" * len(PREDICTS))
    for schedule in options.schedules.split(","):
        cells = []
        for predicts in PREDICTS:
            if (schedule, predicts) not in CASES:
                cells.append("")
                continue
            model = wrapped(schedule, predicts).fit(examples(1024, 9)[0].float())
            found = model.log_prob(x.float(), draws=options.draws, batch_size=20_000)
            off = (found.value - truth).mean() / 3
            error = math.sqrt(np.square(found.error).mean() / len(x)) / 3
            cells.append(f"{off:+.4f} ± {error:.4f}")
        print(f"| {schedule} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
