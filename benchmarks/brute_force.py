"""The efficient estimate beside brute force, on the same images of trained networks.

python benchmarks/brute_force.py RUN_FOLDER ... [--images 128] [--draws 2] [--times 64] [--power 1]

Brute force is the plainest unbiased code, written here anew: a uniform time, a random probe for the
divergence, a draw of Y_T for the prior, and TIMES as many draws of each image. Shown are means over
images in bits/dim with the standard errors of the noise alone (the images are the same), the
difference, and the diagnostics of both tails; an error is not to be believed where k exceeds its
limit. `brute force, early` is the part of times below 1e-3 T, whose draws are few and large: at the
edges of dequantised images they have no variance under a uniform law. --power 5 draws T u^5 for
uniform u, with weights, which has them often and small.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from vdiff.loading import model_at
from vdiff.stats.intervals import std_err
from vdiff.stats.tails import tail_of
from vdiff.steps.opening import open_folder

EARLY = 1e-3


def real_vectors(k, model, rng):
    """Grey levels k (B, ...) dequantised, as real vectors, and what that does to volumes, (B,)."""
    u = torch.rand(k.shape, generator=rng, dtype=torch.float64)
    p = (k.double() + u) / model.data.levels
    if not model.run.training.real:
        return 2 * p - 1, model.dims * math.log(2)
    p = 0.05 + 0.9 * p
    return (p / (1 - p)).log(), (0.9 / (p * (1 - p))).log().flatten(1).sum(1)


def brute_force(model, x, draws, rng, power=1, batch_size=256):
    """(bits/dim (N, draws), those of it that came of early times)."""
    sde, a, data = model.sde, model.drift(), model.data
    found, early = [], []
    for k in x.repeat_interleave(draws, 0).split(batch_size):
        if k.ndim == 2:
            y, log_det = k.double(), 0.0
        else:
            y, log_det = real_vectors(k, model, rng)
        eps, end, probe = (torch.randn(y.shape, generator=rng, dtype=torch.float64) for _ in "123")
        u = torch.rand(len(y), generator=rng, dtype=torch.float64)
        s, per = sde.T * u**power, power * u ** (power - 1)
        wide = (-1, *[1] * (y.ndim - 1))
        y_s = (sde.m(s).view(wide) * y + sde.sigma(s).view(wide) * eps).float().requires_grad_()
        a_y = a(y_s, s.float())
        (product,) = torch.autograd.grad((a_y * probe.sign()).sum(), y_s)
        div = (product * probe.sign()).flatten(1).double().sum(1)
        a_y = a_y.detach().double().flatten(1)
        integral = (
            sde.T * per * (a_y.square().sum(1) / 2 + sde.g(s) * div - sde.rate(s) * model.dims)
        )
        T = torch.full_like(s, sde.T)
        y_T = sde.m(T).view(wide) * y + sde.sigma(T).view(wide) * end
        prior = -(y_T.square() + math.log(2 * math.pi)).flatten(1).sum(1) / 2
        bits = math.log2(data.levels) - (prior - integral + log_det) / (model.dims * math.log(2))
        found.append(bits.numpy())
        early.append((integral * (s < EARLY * sde.T)).numpy() / (model.dims * math.log(2)))
    return (np.concatenate(z).reshape(len(x), draws) for z in (found, early))


def tail(z):
    """The diagnostics of draws about each image's mean."""
    found = tail_of((z - z.mean(1, keepdims=True)).ravel())
    return f"{found.k_hat:.2f} of {found.k_most:.2f}"


def shown(z):
    """Mean and the standard error of the draws' noise, z (N, draws)."""
    return f"{z.mean():.3f} ± {math.sqrt(z.var(1, ddof=1).mean() / z.size):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--times", type=int, default=64)
    parser.add_argument("--power", type=float, default=1, help="Times are T u^POWER.")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    options = parser.parse_args()
    print("| data | arm | efficient | brute force | difference | of early times | k̂ | k̂, brute |")
    print("|---|---|---|---|---|---|---|---|")
    for folder in options.runs:
        inner = open_folder(folder, options.data_root)
        x, nats = inner.data.test_examples(None)[: options.images], -inner.dims * math.log(2)
        z = model_at(inner).fit().draws(x, draws=options.draws) / nats
        rng = torch.Generator().manual_seed(1)
        draws = options.draws * options.times
        plain, early = brute_force(inner, x, draws, rng, options.power)

        off = z.mean(1) - plain.mean(1)
        cells = [inner.run.experiment, inner.run.arm, shown(z), shown(plain)]
        cells += [f"{off.mean():+.3f} ± {std_err(off):.3f}", shown(early), tail(z), tail(plain)]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
