"""How often `fit` refuses or warns of right claims about a network, and of wrong ones.

    python benchmarks/diagnosis.py [--steps 2000] [--nets 5] [--claims 99]

Five networks on 8x8 digits: a UNet of diffusers and two small MLPs, trained for seconds, an exact
denoiser of a mixture, and one that knows only some of its components. Each is claimed rightly, and
wrongly in several ways; shown are what was found with its severity (certain is refused, likely is
a warning), and by how much the claim costs bits/dim by `log_prob`. Right claims are also made of
networks that were hardly trained, on all images, 64, or one. Needs the extra `models`.
"""

import argparse
import warnings
from collections import Counter

import torch
from diffusers import UNet2DModel
from sklearn.datasets import load_digits
from torch import nn

import vdiff
from benchmarks.any_model import NET
from benchmarks.oracle import VARIANCE, exact
from vdiff.diffusion.sdes.table import TableSDE, sigmoid
from vdiff.diffusion.tensors import expand_like
from vdiff.likelihood.conditions import conditions_of
from vdiff.likelihood.diagnosis import CHECKED, _scanned
from vdiff.likelihood.wrap import SCHEDULES
from vdiff.machine.seeds import generator

DIGITS = torch.tensor(load_digits().images, dtype=torch.uint8)[:, None]
TRAIN, TEST = DIGITS[:1500], DIGITS[1500:1532]
THOUSAND = {"vp", "flow"}  # whose networks here take 1000 s


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(96, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 64)
        )

    def forward(self, y, t):
        e = t[:, None] * torch.exp(torch.linspace(0, -9, 16))
        return self.layers(torch.cat([y.flatten(1), e.sin(), e.cos()], 1)).reshape(y.shape)


class Small(UNet2DModel):
    def forward(self, y, t):
        return super().forward(y, t).sample


def clock_of(schedule):
    return (lambda s: 1000 * s) if schedule in THOUSAND else None


def trained(make, schedule, predicts, steps, data=TRAIN):
    """A network that takes the step from 0, or 1000 s."""
    torch.manual_seed(0)  # weights are drawn from the global state
    net, (sde, s_min) = make(), (SCHEDULES[schedule][0](), SCHEDULES[schedule][1])
    rng, adam = generator("diagnosis", schedule), torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(steps):
        k = data[torch.randint(len(data), (64,), generator=rng)]
        x = 2 * (k + torch.rand(k.shape, generator=rng)) / 17 - 1
        s = s_min + torch.rand(64, generator=rng, dtype=torch.float64) * (sde.T - s_min)
        eps = torch.randn(x.shape, generator=rng)
        m, sigma = (expand_like(f(s), x).float() for f in (sde.m, sde.sigma))
        wanted = {"noise": eps, "x0": x, "v": m * eps - sigma * x, "velocity": eps - x}[predicts]
        t = (s * 1000 if schedule in THOUSAND else s * 1000 - 1).float()
        loss = (net(m * x + sigma * eps, t) - wanted).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return net.requires_grad_(False).eval()


def of_mixture(schedule, predicts, many):
    """The exact network of a mixture of the first images of the training set."""
    means = 2 * (TRAIN[:many].flatten(1).double() + 0.5) / 17 - 1
    net = exact(SCHEDULES[schedule][0](), predicts, means)
    table = schedule.startswith("ddpm")

    def flat(y, t):
        return net(y.flatten(1), (t + table) / 1000).reshape(y.shape)

    return flat


def wrapped(net, schedule, predicts, **keys):
    keys = {"time": clock_of(schedule), "data": (1, 8, 8), "levels": 17, **keys}
    return vdiff.wrap(net, schedule=schedule, predicts=predicts, check=False, **keys)


def verdict(model, x):
    """(severity, what was found first)."""
    found = _scanned(model, x, conditions_of(None), 0, 256, CHECKED, False)[0].findings
    for severity in ("certain", "likely"):
        for finding in found:
            if finding.severity == severity:
                return severity, finding
    return "nothing", None


def wrong_claims(schedule, predicts):
    """Ten kinds: name to what is claimed."""
    right = {"schedule": schedule, "predicts": predicts}
    clock = clock_of(schedule)
    found = {
        f"as {other}": {**right, "schedule": other, "time": clock}
        for other in ("ddpm-linear", "ddpm-cosine", "ddpm-scaled-linear", "flow")
        if other != schedule and not (predicts == "v" and other == "flow")
        and not (schedule == "vp" and other == "ddpm-linear")  # the same but for the clock
    }  # fmt: skip
    if schedule != "flow":
        found["as a sigmoid table"] = {**right, "schedule": TableSDE(sigmoid())}
    for other in ("noise", "x0", "v", "velocity", "score"):
        if other != predicts and not (other == "v" and schedule == "flow"):
            found[f"as {other}"] = {**right, "predicts": other}
    found["another clock"] = {**right, "time": lambda s: s}
    found["range [0, 1]"] = {**right, "range": (0.0, 1.0)}
    found["logit"] = {**right, "logit": True}
    return found


def hardly_trained(steps):
    """Right claims of MLPs after a few steps, and after more on 64 images, and on one."""
    one = TRAIN[:1].expand(128, -1, -1, -1)
    states = (steps // 40, TRAIN), (steps // 7, TRAIN[:64]), (steps // 7, one)
    counts = Counter()
    for schedule in (s for s in SCHEDULES if s not in ("ve", "edm")):
        for predicts in ("noise", "x0", "velocity" if schedule == "flow" else "v"):
            for many, data in states:
                net = trained(MLP, schedule, predicts, many, data)
                severity, finding = verdict(wrapped(net, schedule, predicts), data[:256])
                counts[f"{severity}: {finding.kind}" if finding else severity] += 1
    return counts


def networks(steps):
    """Name to a function that gives network, schedule and what it predicts."""
    scaled, linear = ("ddpm-scaled-linear", "x0"), ("ddpm-linear", "noise")
    return {
        "UNet": lambda: (trained(lambda: Small(**NET), *linear, steps // 7), *linear),
        "MLP": lambda: (trained(MLP, "flow", "velocity", steps), "flow", "velocity"),
        "MLP too": lambda: (trained(MLP, "ddpm-cosine", "v", steps), "ddpm-cosine", "v"),
        "exact": lambda: (of_mixture(*scaled, 300), *scaled),
        "too few components": lambda: (of_mixture("vp", "noise", 60), "vp", "noise"),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=2000, help="Of training an MLP.")
    parser.add_argument("--nets", type=int, default=5)
    parser.add_argument("--claims", type=int, default=99, help="Wrong ones of a network, at most.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| network | claim | found | bits/dim more than the right claim |")
    print("|---|---|---|---|", flush=True)
    counts = Counter()
    for name, make in list(networks(options.steps).items())[: options.nets]:
        net, schedule, predicts = make()
        x = TRAIN[:256]
        if name in ("exact", "too few components"):
            noise = torch.randn(x.shape, generator=generator("mixture"))
            x = (TRAIN[:256] + 8.5 * VARIANCE**0.5 * noise).round().clamp(0, 16).to(torch.uint8)
        right = {"schedule": schedule, "predicts": predicts}
        wrong, costs = list(wrong_claims(schedule, predicts).items())[: options.claims], {}
        for claim, keys in [("right", {}), *wrong]:
            model = wrapped(net, **{**right, **keys})
            severity, finding = verdict(model, x)
            found = model.fit(x).log_prob(TEST, draws=4)
            costs[claim] = float(found.bits_per_dim.mean())
            counts["right" if claim == "right" else "wrong", severity] += 1
            said = f"{severity}: {finding.kind}" if finding else "nothing"
            more = costs[claim] - costs["right"]
            print(
                f"| {name}, {schedule}, {predicts} | {claim} | {said} | {more:+.3g} |", flush=True
            )
    for claim in ("right", "wrong"):
        found = {s: counts[claim, s] for s in ("certain", "likely", "nothing")}
        print(f"{claim} claims: {found}", flush=True)
    hardly = dict(hardly_trained(options.steps)) if options.nets == 5 else "not tried"
    print("right claims of networks hardly trained:", hardly)


if __name__ == "__main__":
    main()
