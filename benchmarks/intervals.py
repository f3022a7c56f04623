"""How often nominal 95% intervals of single examples cover, where the truth is known.

    python benchmarks/intervals.py [--examples 300]

Exact drifts of mixtures (their densities are known), drifts that misfit a Gaussian (their bound is
known by quadrature), and the networks that come with vdiff (the mean of 512 draws), each fitted on
data and on its own samples; by the number of draws, and for 8 draws by the examples' own noise.
"""

import argparse

import numpy as np
import torch

import vdiff
from vdiff.data import load
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.vp import VPSDE
from vdiff.diffusion.tensors import expand_like
from vdiff.machine.seeds import generator
from vdiff.stats.few import mean_and_error
from vdiff.stats.intervals import Z95

DRAWS = (2, 3, 4, 6, 8, 16, 32, 64)
SDE = VPSDE()


def misfit(factor: float, variance: float, n: int):
    """`factor` times the drift of N(0, variance I) in the plane, examples, data, and the bound."""

    def a(y, s):
        s = s.double()
        marginal = SDE.m(s).square() * variance + SDE.var(s)
        return -factor * expand_like(SDE.g(s) / marginal, y).to(y) * y

    model = vdiff.wrap(a, schedule=SDE, predicts="drift", data=(2,), s_min=1e-5, check=False)
    x, data = (variance**0.5 * torch.randn(k, 2, generator=generator(k)) for k in (n, 1024))
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    s, ds = u**4, 4 * u**3 / 200_000  # dense near 0
    v = SDE.m(s).square() * variance + SDE.var(s)
    quadratic = (ds * SDE.g2(s) * factor**2 / v.square() * SDE.m(s).square()).sum() / 2
    rest = 2 * (ds * SDE.g2(s) * (factor**2 * SDE.var(s) / v.square() / 2 - factor / v)).sum()
    square = x.double().square().sum(1)
    bound = SDE.expected_prior(x) - quadratic * square - rest - SDE.minus_integral_of_div_f(2)
    return model, x, data, bound.numpy()


def exact(mixture: Mixture, n: int):
    """The drift of a mixture, examples, data, and its log density."""
    d = mixture.means.shape[1]
    model = vdiff.wrap(
        lambda y, s: mixture.a(y.double(), s.double()), schedule="vp", predicts="drift", data=(d,)
    )
    x, data = (mixture.sample(k, generator(k)).float() for k in (n, 1024))
    return model, x, data, mixture.log_prob(x, torch.zeros(n, dtype=torch.float64)).numpy()


def network(name: str, data_set: str, n: int):
    """A network that comes along, images, data, and the mean of 512 draws."""
    model, data = vdiff.load(name), load(data_set)
    x, train = data.test_examples(n), data.pick(1024, generator("pilot"))
    truth = model.fit(train).draws(x, draws=512, seed=1, batch_size=1024).mean(1)
    return model, x, train, truth


def cases(n: int):
    rng = torch.Generator().manual_seed(1)
    far = [0.7 * torch.randn(5, d, generator=rng).double() for d in (64, 784)]
    yield "misfit by 30%, 2 dimensions", misfit(0.7, 0.3, n)
    yield "misfit by 10%, narrow, 2 dimensions", misfit(0.9, 0.03, n)
    yield "exact, spiral, 2 dimensions", exact(Mixture.spiral(SDE), n)
    yield "exact, mixture, 64 dimensions", exact(Mixture(SDE, far[0], 0.05), n)
    yield "exact, mixture, 784 dimensions", exact(Mixture(SDE, far[1], 0.05), n // 4)
    yield "digits-demo, 64 dimensions", network("digits-demo", "digits", n // 4)


def row(model, x, truth, repeats: int = 4):
    """Coverage by draws, and of the quietest and loudest fifth of examples by 8 draws."""
    cells = []
    for draws in DRAWS:
        hits = []
        for seed in range(repeats if draws <= 16 else 1):
            z = model.draws(x, draws=draws, seed=seed + 2, batch_size=4096)
            value, error = mean_and_error(z)
            hits.append(np.abs(value - truth) <= Z95 * error)
        cells.append(np.mean(hits))
        if draws == 8:
            noise = model.draws(x, draws=64, seed=99, batch_size=4096).std(1)
            edges = np.quantile(noise, [0.2, 0.8])
            by_noise = [np.mean([h[k] for h in hits]) for k in (noise < edges[0], noise > edges[1])]
    return cells + by_noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| drift | fitted on | {' | '.join(map(str, DRAWS))} | quietest | loudest fifth |")
    print("|---" * (4 + len(DRAWS)) + "|")
    for name, (model, x, data, truth) in cases(options.examples):
        for what in ("data", "own samples"):
            model.check = False
            if what == "data":
                model.fit(data)
            else:
                model.fit()
            shown = " | ".join(f"{v:.1%}" for v in row(model, x, truth))
            print(f"| {name} | {what} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
