"""Trainings by each form of score matching, side by side, where the true score is known.

    python benchmarks/forms.py [--iterations 3000] [--seeds 3]

The data are the mixture along the spiral, the net is the Swissroll's, the optimiser Adam, and all
forms see the same batches. What is left to the bound, 1/2 int E||a - a*||^2 ds in nats, is
measured on the same 20,000 draws with the weights of an average over the last tenth, and shown at
equal iterations and at the time that the quickest form took. Mean and standard error over seeds.
"""

import argparse
import copy
import time

import numpy as np
import torch

from vdiff.diffusion.drift import in_float64
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes import sde_of
from vdiff.diffusion.tensors import sum_features
from vdiff.machine.seeds import generator
from vdiff.nets.mlp import MLP
from vdiff.stats.intervals import std_err
from vdiff.steps.forms import form_of, normaliser, times, values_at

FORMS = ("denoising", "implicit", "sliced", "explicit")
MARKS = 10  # at which the gap is measured
BATCH, EPS_T, EMA = 256, 1e-3, 0.99


def draw_of(mixture, n, rng):
    """(x, s, eps, signs) of n examples at times of the debiased law."""
    x = mixture.sample(n, rng).float()
    s = times(mixture.sde, EPS_T, n, rng)
    eps = torch.randn(n, 2, generator=rng)
    return x, s, eps, torch.randn(n, 2, generator=rng).sign()


class Training:
    """One net that one form trains."""

    def __init__(self, form, seed, mixture, C):
        self.form, self.seed, self.mixture, self.C = form, seed, mixture, C
        self.net = MLP(2, generator("init", seed))
        self.mean = copy.deepcopy(self.net).requires_grad_(False)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        self.iteration, self.seconds, self.marks = 0, 0.0, []

    def go(self, iterations, test):
        start = time.perf_counter()
        for _ in range(iterations):
            rng = generator("train", self.seed, self.iteration)
            draw = draw_of(self.mixture, BATCH, rng)
            true = None
            if self.form == "explicit":
                true = self.mixture.a(self.mixture.sde.perturb(*draw[:3]).double(), draw[1])
            self.adam.zero_grad()
            values = values_at(self.mixture.sde, self.net, draw, [self.form], differentiable=True)
            form_of(self.form, self.mixture.sde, values, draw, self.C, true).mean().backward()
            self.adam.step()
            with torch.no_grad():
                for mean, p in zip(self.mean.parameters(), self.net.parameters(), strict=True):
                    mean.lerp_(p, 1 - EMA)
            self.iteration += 1
        self.seconds += time.perf_counter() - start
        self.marks.append((self.seconds, self.gap(*test)))

    @torch.no_grad()
    def gap(self, draw, true):
        sde = self.mixture.sde
        a = in_float64(self.mean)(sde.perturb(*draw[:3]), draw[1])
        return float((self.C / sde.weight(draw[1]) * sum_features((a - true).square())).mean() / 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=20_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sde = sde_of("vp")
    mixture = Mixture.spiral(sde)
    C = normaliser(sde, EPS_T)
    test = draw_of(mixture, options.test, generator("test"))
    truth = mixture.a(sde.perturb(*test[:3]).double(), test[1])
    nothing = float((C / sde.weight(test[1]) * sum_features(truth.square())).mean() / 2)
    found = {form: [] for form in FORMS}
    for seed in range(options.seeds):
        trainings = [Training(form, seed, mixture, C) for form in FORMS]
        for _ in range(MARKS):
            for training in trainings:
                training.go(max(options.iterations // MARKS, 1), (test, truth))
        until = min(t.seconds for t in trainings)
        for t in trainings:
            seconds, gaps = zip(*t.marks, strict=True)
            found[t.form].append(
                (gaps[-1], np.interp(until, seconds, gaps), t.seconds / trainings[0].seconds)
            )
    print(f"{options.iterations} iterations of {BATCH}; a = 0 would leave {nothing:.2f} nats\n")
    print("| form | nats left, equal iterations | nats left, equal time | time / denoising |")
    print("|---|---|---|---|")
    for form, rows in found.items():
        left, soon, ratio = np.array(rows).T
        error = [f" ± {std_err(v):.3f}" if len(v) > 1 else "" for v in (left, soon)]
        cells = [f"{v.mean():.3f}{e}" for v, e in zip((left, soon), error, strict=True)]
        print(f"| {form} | {cells[0]} | {cells[1]} | {np.median(ratio):.2f} |")


if __name__ == "__main__":
    main()
