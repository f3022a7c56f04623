"""The bound of wrapped models side by side: the efficient estimator, the usual one, and DDPM's sum.

python benchmarks/any_model.py [--steps 300] [--images 64] [--draws 16]

Three kinds of diffusers' small network are trained on 8x8 digits and wrapped. Compared, in one run
and in turns, are variance of one draw of an image's bits/dim times its seconds: `efficient`;
`usual`, a uniform time and one probe for the divergence; `sum`, the discrete bound of 1,000 steps
(--chain) even in time with a draw of noise at each, as DDPM's code computes it. Needs the extra
`models`.
"""

import argparse
import math
import time
from itertools import pairwise

import numpy as np
import torch
from diffusers import UNet2DModel
from sklearn.datasets import load_digits

import vdiff
from vdiff.diffusion.elbo import paper
from vdiff.diffusion.tensors import expand_like
from vdiff.likelihood.wrap import SCHEDULES
from vdiff.machine.seeds import generator

KINDS = {"ddpm-linear": "noise", "flow": "velocity", "edm": "F"}
NET = {
    "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1,
    "block_out_channels": (16, 32), "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2,
}  # fmt: skip


def trained(schedule, predicts, train, steps):
    """A wrapped model: the network sees log SNR as its time, and y, or of F what EDM shows it."""
    sde, s_min = SCHEDULES[schedule][0](), SCHEDULES[schedule][1]
    torch.manual_seed(0)  # diffusers draws weights from the global state
    unet = UNet2DModel(**NET)
    ends = sde.log_nsr(torch.tensor([s_min, sde.T], dtype=torch.float64))

    def net(y, s):
        s = (4 * s).exp() if predicts == "F" else s
        t = 999 * (sde.log_nsr(s.double()) - ends[0]) / (ends[1] - ends[0])
        return unet(y, t.float()).sample

    def loss_of(x, s, eps):
        y = sde.perturb(x, s, eps)
        if predicts != "F":
            return (net(y, s.float()) - {"noise": eps, "velocity": eps - x}[predicts]).square()
        sigma = expand_like(s.float(), y)
        total = sigma**2 + 0.25
        wanted = (x - 0.25 / total * y) / (0.5 * sigma / total.sqrt())
        return (net(y / total.sqrt(), s.log().float() / 4) - wanted).square()

    adam, rng = torch.optim.Adam(unet.parameters(), 2e-3), generator("any model")
    for _ in range(steps):
        k = train[torch.randint(len(train), (64,), generator=rng)]
        x = 2 * (k + torch.rand(k.shape, generator=rng)) / 17 - 1
        u = torch.rand(64, generator=rng, dtype=torch.float64)
        s = sde.invert_log_nsr(ends[0] + u * (ends[1] - ends[0])).clamp(s_min, sde.T)
        eps = torch.randn(x.shape, generator=rng)
        loss = loss_of(x, s, eps).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    unet.requires_grad_(False)
    return vdiff.wrap(
        net, schedule=schedule, predicts=predicts, data=(1, 8, 8), levels=17, check=False,
        time=None if predicts == "F" else lambda s: s,
    )  # fmt: skip


def vectors(model, x, rng):
    """Of images x, and what is added to their log density for that of the grey levels."""
    u = torch.rand(x.shape, generator=rng, dtype=torch.float64)
    y, log_det = model.space.vectors(x, u)
    return y.float(), log_det + model.space.log_cell


def usual(model, x, draws):
    """(N, draws) nats."""
    rng, sde, a = generator("usual"), model.sde, model.drift()
    y, log_det = vectors(model, x.repeat_interleave(draws, 0), rng)
    s = sde.T * torch.rand(len(y), generator=rng, dtype=torch.float64)
    eps, end, probe = (torch.randn(y.shape, generator=rng) for _ in "123")
    value = paper(sde, a, y, s, eps, end, probe.sign()).value
    return (value + log_det).numpy().reshape(len(x), draws)


@torch.no_grad()
def summed(model, x, repeat, steps):
    """(N,) nats, but for terms without noise: the sum over steps of (SNR(t) - SNR(t + h)) / 2 times
    the squared error of x-hat at t + h."""
    rng, sde, a = generator("sum", repeat), model.sde, model.drift()
    y, _ = vectors(model, x, generator("sum"))
    grid = torch.linspace(model.s_min, sde.T, steps + 1, dtype=torch.float64)
    total = torch.zeros(len(x), dtype=torch.float64)
    for low, high in pairwise(grid):
        s = high.expand(len(x))
        noisy = sde.perturb(y, s, torch.randn(y.shape, generator=rng))
        x0 = (noisy + float(sde.var(high) / sde.g(high)) * a(noisy, s)) / float(sde.m(high))
        weight = float((-sde.log_nsr(low)).exp() - (-sde.log_nsr(high)).exp()) / 2
        total -= weight * (x0 - y).square().flatten(1).double().sum(1)
    return total.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--sums", type=int, default=4)
    parser.add_argument("--chain", type=int, default=1000, help="Steps of a sum.")
    options = parser.parse_args()
    digits = torch.tensor(load_digits().images, dtype=torch.uint8)[:, None]
    train, x = digits[:1500], digits[1500 : 1500 + options.images]
    print(
        "| model | bits/dim | efficient: variance, ms | usual | sum | usual / efficient "
        "| sum / efficient |"
    )
    print("|---|---|---|---|---|---|---|")
    for schedule, predicts in KINDS.items():
        model = trained(schedule, predicts, train, options.steps).fit(train[:1024])
        bits = 64 * math.log(2)
        work = {
            "efficient": lambda m=model: m.draws(x, draws=options.draws, batch_size=1024),
            "usual": lambda m=model: usual(m, x, options.draws),
            "sum": lambda m=model: np.stack(
                [summed(m, x, k, options.chain) for k in range(options.sums)], 1
            ),
        }
        costs, cells = {}, []
        for name, run in work.items():
            start = time.perf_counter()
            z = run()
            ms = 1000 * (time.perf_counter() - start) / z.size
            variance = float((z / bits).var(1, ddof=1).mean())
            costs[name] = variance * ms
            cells.append(f"{variance:.2g}, {ms:.2g}")
            if name == "efficient":
                mean = f"{-z.mean() / bits:.2f}"
        ratios = [f"{costs[n] / costs['efficient']:.0f}" for n in ("usual", "sum")]
        print(f"| {schedule}, {predicts} | {mean} | {' | '.join(cells + ratios)} |", flush=True)


if __name__ == "__main__":
    main()
