"""Where a bound ends, and what it costs networks that predict x-hat, noise or a velocity.

    python benchmarks/ending.py [--steps 1500] [--examples 400]

Three small networks learn eight Gaussians on a circle along the path y = (1 - s) x + s eps. Shown
is the mean log p(x) in nats by the bound that ends at each s_0, by the one that `fit` chooses, and
by the ODE, with the standard error of the bound over the examples' noise.
"""

import argparse
import math
import warnings

import torch
from torch import nn

import vdiff
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sdes.flow import FlowSDE
from vdiff.machine.seeds import generator

ENDS = (0.001, 0.01, 0.05, 0.1, 0.3)
PREDICTS = {
    "x0": lambda x, eps: x,
    "noise": lambda x, eps: eps,
    "velocity": lambda x, eps: eps - x,
}
SD = 0.2


def draw(n, rng):
    angle = 2 * math.pi * torch.randint(8, (n,), generator=rng) / 8
    return torch.stack([angle.cos(), angle.sin()], 1) + SD * torch.randn(n, 2, generator=rng)


def log_prob(x):
    """The data's own, (N,) nats."""
    angle = 2 * math.pi * torch.arange(8, dtype=torch.float64) / 8
    means = torch.stack([angle.cos(), angle.sin()], 1)
    return Mixture(FlowSDE(), means, SD**2).log_prob(x, torch.zeros(len(x)))


def trained(predicts, steps):
    torch.manual_seed(0)  # weights are drawn from the global state
    layers = nn.Sequential(
        nn.Linear(3, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 2)
    )
    rng, adam = generator("ending"), torch.optim.Adam(layers.parameters(), 2e-3)
    for _ in range(steps):
        x, s = draw(256, rng), torch.rand(256, 1, generator=rng)
        eps = torch.randn(x.shape, generator=rng)
        y = (1 - s) * x + s * eps
        wanted = PREDICTS[predicts](x, eps)
        loss = (layers(torch.cat([y, s], 1)) - wanted).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    layers.eval().requires_grad_(False)
    return lambda y, t: layers(torch.cat([y, t[:, None]], 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--examples", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rng = generator("ending", "data")
    train, x = draw(1000, rng), draw(options.examples, rng)
    print(f"log p of the data's law {float(log_prob(x).mean()):.3f}")
    print("| predicts | ends at | nats | error |\n|---|---|---|---|")
    for predicts in PREDICTS:
        net = trained(predicts, options.steps)
        for end in (*ENDS, None):
            model = vdiff.wrap(net, schedule="flow", predicts=predicts, data=(2,), ends_at=end)
            model.check = False
            found = model.fit(train).log_prob(x)
            error = float((found.error**2).mean() / len(x)) ** 0.5
            where = f"{end:g}" if end else f"chosen, {model.s_0:.3g}"
            print(f"| {predicts} | {where} | {found.value.mean():.3f} | {error:.3f} |", flush=True)
        found = model.log_prob(x, method="ode")
        print(f"| {predicts} | the ODE | {found.value.mean():.3f} | |", flush=True)


if __name__ == "__main__":
    main()
