"""The likelihood of models of other packages, in lines of user code, beside independent numbers.

python benchmarks/packages.py [--steps 300] [--images 16] [--draws 16] [--repeats 8]
    [--spacing 0.05]

Small networks on 8x8 digits (bits/dim of 17 grey levels) or points (nats of a dimension) are
trained for seconds by each package's own code, or are exact; those of packages that are not
installed are left out. `lines`: of the code in docs/models that mention what comes from vdiff;
`sum`: the same bound by a plain sum over the network's own noise levels, those that are `spacing`
apart in log sigma, with fresh noise at each; its x-hat is made by the package or by the formula of
its paper, and by nothing of vdiff's; `truth`: the true value of exact networks. Errors are those of
the noise, over the same examples.
"""

import argparse
import ast
import math
import re
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from vdiff.likelihood.model import Model
from vdiff.machine.seeds import generator

PAGES = Path(__file__).parents[1] / "docs/models"
DIGITS, LEVELS = torch.tensor(load_digits().images, dtype=torch.uint8)[:, None], 17
TRAIN, TEST = DIGITS[:1500], DIGITS[1500:]
HELD = 1e-3  # of the least level at which a network is asked: to there its score is held below
UNET = {
    "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1,
    "block_out_channels": (16, 32), "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2,
}  # fmt: skip


class Case(NamedTuple):
    """A model as its page makes it; pilot, x: examples to fit on and to score; level: (K,) sigma /
    alpha of the network's noise, rising; x_hat: of (y, k), y = x + level[k] eps; truth: of x, the
    true log density (nats), if it is known."""

    model: Model
    pilot: Tensor
    x: Tensor
    level: Tensor
    x_hat: Callable[[Tensor, int], Tensor]
    truth: Callable[[Tensor], Tensor] | None = None


def fit(net, loss_of, steps, lr=2e-3):
    """Adam on loss_of(images in [0, 1])."""
    adam, rng = torch.optim.Adam(net.parameters(), lr), generator("packages")
    for _ in range(steps):
        k = TRAIN[torch.randint(len(TRAIN), (64,), generator=rng)]
        loss = loss_of((k + torch.rand(k.shape, generator=rng)) / LEVELS)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return net.eval().requires_grad_(False)


def of_table(abar, x_hat, model):
    """A case on digits; x_hat: of (alpha y, step)."""
    abar = abar.double()
    level = ((1 - abar) / abar).sqrt()
    return Case(model, TRAIN, TEST, level, lambda y, k: x_hat(abar[k].sqrt().float() * y, k))


def batch_of(step, y):
    return torch.full((len(y),), step)


def diffusers(steps):
    from diffusers import DDPMScheduler, UNet2DModel

    from vdiff.adapters.diffusers import from_diffusers

    unet, scheduler = UNet2DModel(**UNET), DDPMScheduler()

    def loss_of(x):
        eps, t = torch.randn_like(x), torch.randint(1000, (len(x),))
        return (unet(scheduler.add_noise(2 * x - 1, eps, t), t).sample - eps).square().mean()

    def x_hat(y, step):
        abar = scheduler.alphas_cumprod[step]
        return (y - (1 - abar).sqrt() * unet(y, batch_of(step, y)).sample) / abar.sqrt()

    fit(unet, loss_of, steps)
    return of_table(scheduler.alphas_cumprod, x_hat, from_diffusers(unet, scheduler, levels=LEVELS))


def denoising_diffusion_pytorch(steps):
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    from vdiff.adapters.denoising_diffusion import from_denoising_diffusion

    own = GaussianDiffusion(Unet(16, dim_mults=(1, 2), channels=1), image_size=8)
    fit(own, own, steps)

    def x_hat(y, step):
        return own.model_predictions(y, batch_of(step, y)).pred_x_start

    model = from_denoising_diffusion(own, levels=LEVELS)
    return of_table(own.alphas_cumprod, x_hat, model)


def monai(steps):
    from monai.inferers import DiffusionInferer
    from monai.networks.nets import DiffusionModelUNet
    from monai.networks.schedulers import DDPMScheduler

    from vdiff.adapters.monai import from_monai

    unet = DiffusionModelUNet(
        2, 1, 1, channels=(16, 32), attention_levels=(False, False), num_res_blocks=1,
        norm_num_groups=8, num_head_channels=8,
    )  # fmt: skip
    scheduler = DDPMScheduler()
    inferer = DiffusionInferer(scheduler)

    def loss_of(x):
        eps, t = torch.randn_like(x), torch.randint(1000, (len(x),))
        return (inferer(x, unet, eps, t) - eps).square().mean()

    def x_hat(y, step):
        abar = scheduler.alphas_cumprod[step]
        return (y - (1 - abar).sqrt() * unet(y, batch_of(step, y))) / abar.sqrt()

    fit(unet, loss_of, steps)
    model = from_monai(unet, scheduler, data=(1, 8, 8), range=(0, 1), levels=LEVELS)
    return of_table(scheduler.alphas_cumprod, x_hat, model)


def azula(steps):
    from azula.denoise import KarrasDenoiser
    from azula.nn.unet import UNet
    from azula.noise import VPSchedule

    from vdiff.adapters.azula import from_azula

    class Backbone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = UNet(1, 1, mod_features=16, hid_channels=(16, 32), hid_blocks=(1, 1))

        def forward(self, x, t):
            waves = t[:, None] * torch.linspace(0.2, 2, 8)
            return self.unet(x, torch.cat([waves.sin(), waves.cos()], 1))

    denoiser = KarrasDenoiser(Backbone(), VPSchedule())
    fit(denoiser, lambda x: denoiser.loss(2 * x - 1, torch.rand(len(x))), steps)
    t = torch.linspace(0, 1, 1000)
    alpha, sigma = denoiser.schedule(t)

    def x_hat(y, k):
        return denoiser(alpha[k] * y, t[k].expand(len(y))).mean

    model = from_azula(denoiser, data=(1, 8, 8), levels=LEVELS)
    return Case(model, TRAIN, TEST, (sigma / alpha).double(), x_hat)


def flow_matching(steps):
    from flow_matching.path import AffineProbPath
    from flow_matching.path.scheduler import CondOTScheduler

    from vdiff.adapters.flow_matching import from_flow_matching

    path, (x, pilot, test) = AffineProbPath(CondOTScheduler()), torch.randn(3, 2000, 2)
    x, pilot, test = (v @ torch.tensor([[1.0, 0.8], [0.0, 0.6]]) for v in (x, pilot, test))
    net = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.SiLU(), torch.nn.Linear(64, 2))

    def velocity(y, t):
        return net(torch.cat([y, t[:, None]], 1))

    def loss_of(_):
        draw = path.sample(t=torch.rand(len(x)), x_0=torch.randn_like(x), x_1=x)
        return (velocity(draw.x_t, draw.t) - draw.dx_t).square().mean()

    fit(net, loss_of, steps, lr=1e-2)
    t = torch.sigmoid(torch.linspace(6.9, -6.9, 1000))

    def x_hat(y, k):  # y_t = t x + (1 - t) eps and velocity = x - eps
        y_t = t[k] * y
        return y_t + (1 - t[k]) * velocity(y_t, t[k].expand(len(y)))

    model = from_flow_matching(velocity, CondOTScheduler(), data=(2,))
    return Case(model, pilot, test, ((1 - t) / t).double(), x_hat)


def of_gaussian(model, sd, level, shape):
    """A case of an exact network of N(0, sd^2)."""
    pilot, x = sd * torch.randn(2, 1000, *shape, generator=generator("packages", "exact"))

    def x_hat(y, k):
        return sd**2 / (sd**2 + level[k] ** 2) * y

    def truth(x):
        return torch.distributions.Normal(0, sd).log_prob(x.double()).flatten(1).sum(1)

    return Case(model, pilot, x, level, x_hat, truth)


def edm(steps):
    from vdiff.adapters.edm import from_edm

    class Net:
        img_channels, img_resolution, sigma_min, sigma_max = 1, 8, 0.002, 80

        def __call__(self, x, sigma, labels=None):
            return x * 0.25 / (0.25 + sigma.reshape(-1, 1, 1, 1) ** 2)

    level = torch.logspace(math.log10(0.002), math.log10(80), 1000, dtype=torch.float64)
    return of_gaussian(from_edm(Net(), levels=None), 0.5, level, (1, 8, 8))


def score_sde(steps):
    from vdiff.adapters.score_sde import from_score_sde

    class VPSDE:
        T = 1

        def marginal_prob(self, x, t):
            log_mean = -(19.9 * t**2 / 4 + 0.1 * t / 2)
            return log_mean.exp()[:, None, None, None] * x, (1 - (2 * log_mean).exp()).sqrt()

    def net(x, labels):  # minus the standard deviation times the score of N(0, 1/4)
        m = torch.exp(-(19.9 * (labels / 999) ** 2 / 4 + 0.1 * labels / 999 / 2))
        var = 1 - m**2
        return (var.sqrt() / (m**2 / 4 + var)).reshape(-1, 1, 1, 1) * x

    t = torch.logspace(-5, 0, 1000, dtype=torch.float64)
    level = torch.expm1(2 * (19.9 * t**2 / 4 + 0.1 * t / 2)).sqrt()
    model = from_score_sde(net, VPSDE(), data=(1, 8, 8), levels=None)
    return of_gaussian(model, 0.5, level, (1, 8, 8))


CASES = {
    "diffusers": (diffusers, "diffusers"),
    "denoising-diffusion-pytorch": (denoising_diffusion_pytorch, "denoising_diffusion_pytorch"),
    "monai": (monai, "monai"),
    "azula": (azula, "azula"),
    "flow-matching": (flow_matching, "flow_matching"),
    "edm": (edm, "torch"),
    "score-sde": (score_sde, "torch"),
}
"""Name of the page to what makes a case, and the module that it needs."""


def lines_of(page):
    """Of the code of a page, those whose statements mention what comes from vdiff."""
    text = (PAGES / f"{page}.md").read_text()
    names, lines = {"model"}, 0
    for node in ast.parse("\n".join(re.findall(r"```python\n(.*?)```", text, re.S))).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vdiff"):
            names |= {alias.name for alias in node.names}
        elif not names & {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}:
            continue
        lines += (node.end_lineno or node.lineno) - node.lineno + 1
    return lines


def spaced(level, least, spacing):
    """Which of rising levels from the least on are at least so far apart in their logarithms; the
    last is one of them."""
    found: list[int] = []
    for k in range(int((level < least * (1 - 1e-6)).sum()), len(level)):
        if not found or k == len(level) - 1 or (level[k] / level[found[-1]]).log() >= spacing:
            found.append(k)
    return found


@torch.no_grad()
def plain_sum(case, x, ends_at, spacing, rng):
    """The bound on log p (nats) of examples x, (n,), with one noise at each level: with r = 1 /
    level^2 the integral of |x - x_hat|^2 / 2 over r by the trapezoid rule in log r (VDM, arXiv
    2107.00630, equation 17), and Gaussians at both ends. Below the level ends_at the score is
    held."""
    space = case.model.space
    if space.levels:
        low, high = space.low, space.high
        x = low + (high - low) * (x + torch.rand(x.shape, generator=rng)) / space.levels
    x, d = x.float(), x[0].numel()
    asked = spaced(case.level, ends_at, spacing)
    least = case.level[asked[0]]
    many = math.ceil(-math.log(HELD) / spacing)
    below = least * HELD ** (torch.arange(many, 0, -1, dtype=torch.float64) / many)
    level = torch.cat([below, case.level[asked]])
    rate = torch.empty(len(level), len(x), dtype=torch.float64)  # nats for each unit of log r
    for j, sigma in enumerate(level):
        y = x + sigma.float() * torch.randn(x.shape, generator=rng)
        x_hat = case.x_hat(y, asked[max(j - many, 0)])
        if j < many:
            x_hat = y + (sigma / least).float() ** 2 * (x_hat - y)
        rate[j] = ((x - x_hat).double() / sigma).square().flatten(1).sum(1) / 2
    spent = torch.trapezoid(rate, -2 * level.log(), dim=0).neg()
    prior = (x.double() / level[-1]).square().flatten(1).sum(1) / 2
    decoder = d / 2 * (1 + math.log(2 * math.pi) + 2 * level[0].log())
    cell = d * math.log((high - low) / space.levels) if space.levels else 0.0
    return cell - spent - prior - decoder


def shown(value, error):
    return f"{value:.4f} ± {error:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("steps", 300), ("images", 16), ("draws", 16), ("repeats", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--spacing", type=float, default=0.05)
    args = parser.parse_args()
    print("| package | lines | unit | vdiff | sum | truth | vdiff less sum |")
    print("|---" * 7 + "|")
    for page, (make, module) in CASES.items():
        if find_spec(module) is None:
            continue
        torch.manual_seed(0)  # packages draw weights and noise from the global state
        case = make(args.steps)
        case.model.check = args.steps >= 100  # else it is hardly trained, as `fit` would say
        x, model = case.x[: args.images], case.model.fit(case.pilot)
        found = model.log_prob(x, draws=args.draws)
        unit, scale = "nats", 1 / found.d
        if model.space.levels:
            unit, scale = "bits", -1 / (found.d * math.log(2))
        rng = generator("packages", page)
        many = torch.cat([x] * args.repeats)
        sums = plain_sum(case, many, found.ends_at or 0.0, args.spacing, rng).reshape(-1, len(x))
        value, own = scale * found.value.mean(), scale * float(sums.mean())
        error = abs(scale) * (found.error**2).sum() ** 0.5 / len(x)
        own_error = abs(scale) * float(sums.var(0).mean() / sums.numel()) ** 0.5
        truth = "" if case.truth is None else f"{scale * float(case.truth(x).mean()):.4f}"
        columns = (
            page, str(lines_of(page)), unit, shown(value, error), shown(own, own_error), truth,
            shown(value - own, math.hypot(error, own_error)),
        )  # fmt: skip
        print("| " + " | ".join(columns) + " |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of packages, and of train mode
    main()
