"""What the likelihood costs by the size of an image, beside an earlier build: time, memory, noise.

    python benchmarks/sizes.py [--other CHECKOUT] [--data cifar10_subset.npz] [--sides 16,32,64,256]
        [--examples 256] [--images 8] [--draws 4] [--repeats 6]

Each build fits in a process of its own on `examples` images of 3 x side^2, with a network that
costs nearly nothing; what it took is not counted. Shown are seconds of one core and the peak of
memory above that before the fit. CHECKOUT is a working tree of another commit; it is skipped above
32 x 32, where its dense matrix takes minutes and more.

With data, the packaged network cifar10-record follows. At 3 x 32^2 the standard deviation of a draw
within an image, by both builds. At 3 x 64^2, where four images in a square are taken for one and
the network denoises each, as is exact for them, the passes that the estimator and VDM's stratified
one (arXiv 2107.00630: log SNR evenly, one uniform for all draws of an image) take for one error.
"""

import argparse
import inspect
import json
import math
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

import vdiff
from vdiff.machine.seeds import generator

ROOT = Path(__file__).parents[1]
NET = "cifar10-record"


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB


def smooth(n, side):
    """Grey levels (n, 3, side, side), sums of a few waves and noise, one image at a time."""
    rng, at = generator("sizes", side), torch.linspace(0, 1, side)
    basis = torch.cos(math.pi * torch.arange(6)[:, None] * at)
    falling = 40 / (1 + torch.arange(36).reshape(6, 6) / 6)
    x = torch.empty(n, 3, side, side, dtype=torch.uint8)
    for image in x:
        waves = falling * torch.randn(3, 6, 6, generator=rng)
        noise = 5 * torch.randn(image.shape, generator=rng)
        image.copy_((128 + basis.T @ waves @ basis + noise).clamp(0, 255))
    return x


def fit_once(side, examples):
    """Seconds beyond the network's and GiB of a fit, as JSON; in a process of its own."""
    spent = [0.0]

    def net(y, t):
        start = time.process_time()
        out = 0.9 * y
        spent[0] += time.process_time() - start
        return out

    x = smooth(examples, side)
    model = vdiff.wrap(net, schedule="vp", predicts="noise", data=(3, side, side), check=False)
    rows = {"batch_size": 16} if "batch_size" in inspect.signature(model.fit).parameters else {}
    spent[0], before, start = 0.0, peak(), time.process_time()
    model.fit(x, **rows)
    return {"seconds": time.process_time() - start - spent[0], "gib": peak() - before}


def within(model, x, draws, repeats):
    """Standard deviation of a draw's bits/dim within an image, by means of strata over seeds."""
    z = [model.log_prob(x, draws=draws, seed=seed).bits_per_dim for seed in range(repeats)]
    return float(np.sqrt(np.var(z, axis=0, ddof=1).mean() * draws))


def images_of(file, train, test):
    """Grey levels of as many training and test images, by whatever build."""
    arrays = np.load(file)
    return [torch.from_numpy(arrays[f"{k}_x"][:n]) for k, n in (("train", train), ("test", test))]


def noise_once(file, images, draws, repeats):
    warnings.simplefilter("ignore")
    (train, x), model = images_of(file, 256, images), vdiff.load(NET)
    start = time.process_time()
    rows = {"batch_size": 64} if "batch_size" in inspect.signature(model.fit).parameters else {}
    model.fit(train, **rows)
    return {
        "sd": within(model, x, draws, repeats),
        "seconds": time.process_time() - start,
    }


def tiled(x):
    """Images (4 n, 3, h, w), four in a square each, (n, 3, 2 h, 2 w)."""
    n, c, h, w = x.shape
    return (
        x.reshape(n // 4, 2, 2, c, h, w).permute(0, 3, 1, 4, 2, 5).reshape(n // 4, c, 2 * h, 2 * w)
    )


def apart(y):
    n, c, h, w = y.shape
    y = y.reshape(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5)
    return y.reshape(4 * n, c, h // 2, w // 2)


def of_squares(model):
    """The model of four independent images in a square."""
    small = model.a

    def a(y, s):
        return tiled(small(apart(y), s.repeat_interleave(4)))

    space = model.space._replace(shape=(3, 64, 64))
    return type(model)(model.sde, a, space, model.s_min, eps_t=model.eps_t, check=False)


@torch.no_grad()
def strata_of_vdm(model, x, draws, repeats):
    """As `within`, of VDM's estimator: (gamma_1 - gamma_0) / 2 |eps - eps-hat|^2, gamma even."""
    sde, rng, found = model.sde, generator("vdm"), []
    low = torch.tensor(2 * math.log(1 / 255), dtype=torch.float64)
    high = sde.log_nsr(torch.tensor(sde.T, dtype=torch.float64))
    for _ in range(repeats):
        u = torch.rand(len(x), generator=rng, dtype=torch.float64)
        z = torch.zeros(len(x), dtype=torch.float64)
        for k in range(draws):
            s = sde.invert_log_nsr(low + (high - low) * ((u + k) / draws))
            y, _ = model.space.vectors(x, torch.rand(x.shape, generator=rng, dtype=torch.float64))
            y = y.float()
            eps = torch.randn(y.shape, generator=rng)
            a = model.drift()(sde.perturb(y, s, eps), s.float())
            ratio = (sde.sigma(s) / sde.g(s)).float()[:, None, None, None]
            z += (eps + ratio * a).square().flatten(1).sum(1).double() / draws
        found.append(((high - low) / 2 * z / (math.log(2) * model.space.d)).numpy())
    return float(np.sqrt(np.var(found, axis=0, ddof=1).mean() * draws))


def squares_once(file, images, draws, repeats):
    warnings.simplefilter("ignore")
    (train, x), model = images_of(file, 4 * 128, 4 * images), of_squares(vdiff.load(NET))
    model.fit(tiled(train), batch_size=16)
    x = tiled(x)
    return {
        "sd": within(model, x, draws, repeats), "vdm": strata_of_vdm(model, x, draws, repeats)
    }  # fmt: skip


def child(checkout, what, *arguments):
    """A function of this file by the build in `checkout`."""
    code = (
        "import json, runpy, sys; "
        f"found = runpy.run_path({str(Path(__file__))!r})[{what!r}](*json.loads(sys.argv[1])); "
        "print(json.dumps(found))"
    )
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-W", "ignore", "-P", "-c", code, json.dumps(arguments)]
    run = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--other", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sides", default="16,32,64,256")
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=6)
    options = parser.parse_args()
    builds = {"this": ROOT} | ({"other": options.other.resolve()} if options.other else {})
    print("| shape | build | fit, s beyond the network | GiB above before |\n|---|---|---|---|")
    for side in (int(v) for v in options.sides.split(",")):
        for name, checkout in builds.items():
            if name == "other" and side > 32:
                continue
            found = child(checkout, "fit_once", side, options.examples)
            print(
                f"| 3 x {side}^2 | {name} | {found['seconds']:.2f} | {found['gib']:.2f} |",
                flush=True,
            )
    if not options.data:
        return
    arguments = str(options.data.resolve()), options.images, options.draws, options.repeats
    print(f"\n{NET}, {options.images} images, sd of a draw within an image (bits/dim):")
    for name, checkout in builds.items():
        found = child(checkout, "noise_once", *arguments)
        print(f"| 3 x 32^2 | {name} | {found['sd']:.4f} | {found['seconds']:.0f} s |", flush=True)
    found = child(ROOT, "squares_once", *arguments)
    ratio = (found["vdm"] / found["sd"]) ** 2
    print(f"| 3 x 64^2 | this {found['sd']:.4f}, VDM's strata {found['vdm']:.4f} |")
    print(f"VDM's strata need {ratio:.1f} times the passes for the same error.")


if __name__ == "__main__":
    main()
