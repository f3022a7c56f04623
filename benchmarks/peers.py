"""Likelihood estimators of this project and of its peers side by side, on the same networks.

    python benchmarks/peers.py [--images 8] [--passes 12000] [--nets exact,digits-demo]
        [--pilot 1024] [--truth 4096] [--steps 1000] [--odes 4] [--tolerance 1e-3]

`exact` is the network of a mixture of Gaussians around 8x8 digits, whose log p(x) is known, with
DDPM's linear table; `digits-demo` is a trained one, whose bound is the mean of `truth` draws and
whose ODE is solved to `tolerance` with its exact trace. Both are models of vectors, the trained one
of dequantised images. Each estimator gets about as many passes, and the ODEs the first images only.

Shown are the mean error in bits/dim with the standard error of the noise, against log p(x), the
bound or the ODE's likelihood; passes of one example, a backward one counted as one more, and a
core's milliseconds for a value; variance x passes and x time, as ratios to those of `ours`; the
passes for an error of 0.01 bits/dim of one example, by the law of square roots, never where the
mean error is surely larger; how often a stated interval of 95% covers. `fit charged` has the whole
fit paid by one example of that error. Packages: the extra `models`; sbi takes only its own nets.
"""

import argparse
import math
import time
from copy import copy
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import torch
from scipy.integrate import solve_ivp
from sklearn.datasets import load_digits

import vdiff
from vdiff.data import load
from vdiff.diffusion.divergence import hutchinson
from vdiff.diffusion.mixture import Mixture
from vdiff.diffusion.sde import at
from vdiff.diffusion.sdes.table import TableSDE, linear
from vdiff.diffusion.tensors import expand_like, sum_features
from vdiff.likelihood.ode import error_of, solved
from vdiff.machine.seeds import generator
from vdiff.stats.few import mean_and_error
from vdiff.stats.intervals import Z95

VARIANCE = 0.01  # of the mixture's components, about means in [-0.6, 0.6]
D, BITS, TARGET = 64, 64 * math.log(2), 0.01  # the target in bits/dim
EARLIEST = 1e-5  # of T: where score_sde starts
GAMMA_0 = -13.3  # the log NSR that VDM starts from
HEAD = """
| estimator | of | off, bits/dim | passes | ms | var. x passes | var. x time | to 0.01 | covers |
|---|---|---|---|---|---|---|---|---|"""


class Passes:
    """The drift `a`, and how many rows went through it, forward and backward."""

    def __init__(self, a):
        self.a, self.rows = a, 0

    def count(self, rows):
        self.rows += len(rows)

    def __call__(self, y, s):
        out = self.a(y, s)
        self.count(out)
        if out.requires_grad:
            out.register_hook(self.count)
        return out


def counted_fit(model, data):
    """(passes, milliseconds). From here on the model counts its passes."""
    model.a = Passes(model.a)
    start = time.process_time()
    model.fit(data)
    return model.a.rows, 1000 * (time.process_time() - start)


def exact(options):
    images, sde = torch.tensor(load_digits().images[:10]).flatten(1), TableSDE(linear())
    mixture = Mixture(sde, 1.2 * images / 16 - 0.6, VARIANCE)

    def noise(y, s):
        s = s.double()
        a = mixture.a(y.flatten(1).double(), s).reshape(y.shape)
        return (-expand_like(sde.sigma(s) / sde.g(s), y) * a).float()

    def of_steps(x, timesteps, context):
        model.a.count(x)
        return noise(x, (timesteps + 1) / sde.N)

    def drawn(n):
        return mixture.sample(n, generator("peers", n)).float().reshape(n, 1, 8, 8)

    how = {"schedule": sde, "predicts": "noise", "data": (1, 8, 8), "levels": None}
    model = vdiff.wrap(noise, time=lambda s: s, **how)
    x, zeros = drawn(options.images), torch.zeros(options.images)
    log_p = mixture.log_prob(x.flatten(1), zeros).numpy(), zeros.numpy()
    fit = counted_fit(model, drawn(options.pilot))
    truths = dict.fromkeys(("log p", "bound", "ODE"), log_p)
    return SimpleNamespace(model=model, x=x, fit=fit, truths=truths, noise=of_steps)


def trained(options, name):
    data, images = load("digits"), vdiff.load(name)

    def vectors(levels):
        u = torch.rand(levels.shape, generator=generator("peers"), dtype=torch.float64)
        return images.space.vectors(levels, u)[0].float()

    model = copy(images)
    model.space = images.space._replace(levels=None)
    x = vectors(data.test_examples(None)[: options.images])
    fit = counted_fit(model, vectors(data.pick(options.pilot, generator("pilot"))))
    bound = mean_and_error(model.draws(x, draws=options.truth, seed=1))
    case = SimpleNamespace(model=model, x=x, fit=fit, truths={"bound": bound})
    if options.odes:
        a, tolerance = model.drift(), options.tolerance
        ode = solved(model.sde, lambda rows: a, x[: options.odes], None, tolerance)
        case.truths["ODE"] = ode.log_prob.numpy(), error_of(ode.change.numpy(), tolerance)
    return case


def ours(case, x, rng, **how):
    found = case.model.log_prob(x, seed=int(torch.randint(2**31, (), generator=rng)), **how)
    return found.value, found.error


def normal(x, rng):
    return torch.randn(x.shape, generator=rng)


def uniform(trace, case, x, rng):
    """The bound at a time for each row; trace(product, y, rng, eps / sigma) is that of J, of which
    product(v) is v^T J."""
    sde, eps = case.model.sde, normal(x, rng)
    T = torch.full((len(x),), sde.T, dtype=torch.float64)
    s = T * (EARLIEST + (1 - EARLIEST) * torch.rand(len(x), generator=rng, dtype=T.dtype))
    y = sde.perturb(x, s, eps).requires_grad_()
    a = case.model.drift()(y, s.float())

    def product(v):
        return torch.autograd.grad(a, y, v.reshape(y.shape), retain_graph=True)[0].flatten(1)

    div = trace(product, a.detach().flatten(1), rng, eps.flatten(1) / sde.sigma(s)[:, None])
    prior = sde.prior_log_prob(sde.perturb(x, T, normal(x, rng)))
    h = sum_features(a.detach().square()) / 2 + sde.g(s) * div - sde.div_f(s, D)
    return prior - sde.T * h


def probes(many, product, a, rng, _):
    each = (normal(a, rng).sign() for _ in range(many))
    return sum((v * product(v)).sum(1) for v in each) / many


def hutch_plus_plus(product, a, rng, _, k=5):
    """arXiv 2010.09649 in 3 k products: the trace on the range of J^T S, and k probes beside it."""

    def all_of(V):  # (B, d, k)
        return torch.stack([product(v) for v in V.unbind(2)], 2)

    S, G = (torch.randn(*a.shape, k, generator=rng).sign() for _ in "SG")
    Q = torch.linalg.qr(all_of(S))[0]
    G = G - Q @ (Q.mT @ G)
    return (Q * all_of(Q)).sum((1, 2)) + (G * all_of(G)).sum((1, 2)) / k


def path_integral(_, a, rng, ratio):
    """arXiv 2410.06986: without an ODE, the Gaussian transition's derivative for the net's."""
    return (a * ratio).sum(1)


@torch.no_grad()
def miss(case, x, s, rng):
    """|eps - eps-hat|^2 at times s (B,), (B,)."""
    sde, eps = case.model.sde, normal(x, rng)
    a = case.model.drift()(sde.perturb(x, s, eps), s.float())
    return sum_features((eps + expand_like((sde.sigma(s) / sde.g(s)).float(), x) * a).square())


def ends(case, x, s, rng):
    """E log N(x; xhat, nsr) at the least times s (B,), less KL(Y_T | prior)."""
    sde, T = case.model.sde, at(case.model.sde.T)
    own = D * (sde.var(T) - 1 - sde.var(T).log())
    kl = (sde.m(T).square() * sum_features(x.square()) + own) / 2
    return -kl - (miss(case, x, s, rng) + D * (math.log(2 * math.pi) + sde.log_nsr(s))) / 2


def vdm_strata(case, x, rng, times=32):
    """arXiv 2107.00630: log NSR evenly, one uniform for all times of an example."""
    sde, u = case.model.sde, torch.rand(len(x), generator=rng, dtype=torch.float64)
    low, high = sde.log_nsr(at(case.model.s_min)).clamp(min=GAMMA_0), sde.log_nsr(at(sde.T))
    found = ends(case, x, sde.invert_log_nsr(low.expand(len(x))), rng)
    for k in range(times):
        s = sde.invert_log_nsr(low + (high - low) * (u + k) / times)
        found = found - (high - low) / 2 * miss(case, x, s, rng) / times
    return found


def ddpm_sum(case, x, rng, steps):
    """arXiv 2006.11239: every step once, its KL with the variance of the posterior."""
    sde = case.model.sde
    grid = torch.linspace(0, sde.T, steps + 1, dtype=torch.float64)[1:]
    found = ends(case, x, grid[:1].expand(len(x)), rng)
    for low, high in pairwise(grid):
        weight = torch.expm1(sde.log_nsr(high) - sde.log_nsr(low)) / 2
        found = found - weight * miss(case, x, high.expand(len(x)), rng)
    return found


def song_ode(case, x, rng):
    """As score_sde does it: scipy's RK45 at 1e-5 for the whole batch, one probe."""
    sde, a, probe = case.model.sde, case.model.drift(), normal(x, rng).sign()

    def slope(s, state):
        y = torch.from_numpy(state[: x.numel()]).float().reshape(x.shape)
        s = torch.full((len(x),), s, dtype=torch.float64)
        rate, half_g = (expand_like(v.float(), x) for v in (sde.rate(s), sde.g(s) / 2))
        v, div = hutchinson(lambda y: rate * y - half_g * a(y, s.float()), y, probe)
        return np.concatenate([v.flatten().numpy(), div.numpy()])

    start, span = np.append(x.flatten(), np.zeros(len(x))), (EARLIEST * sde.T, sde.T)
    end = torch.from_numpy(solve_ivp(slope, span, start, rtol=1e-5, atol=1e-5).y[:, -1])
    return sde.prior_log_prob(end[: x.numel()].reshape(x.shape)) + end[x.numel() :]


def denoised(case, y, log_nsr):
    """(xhat, eps-hat) of y = x + sqrt(nsr) eps, (B, ...); log_nsr (B,)."""
    sde = case.model.sde
    first, last = (sde.log_nsr(at(v)) for v in (max(case.model.s_min, EARLIEST * sde.T), sde.T))
    log_nsr = log_nsr.double().clamp(first, last)
    s = sde.invert_log_nsr(log_nsr)
    found = sde.m(s), sde.sigma(s) / sde.g(s), (log_nsr / 2).exp()
    m, ratio, sigma = (expand_like(v.float(), y) for v in found)
    eps = -ratio * case.model.drift()(m * y, s.float())
    return y - sigma * eps, eps


def flow_matching(case, x, rng, **how):
    """The package's own, on the straight path t x + (1 - t) eps of the same denoiser."""
    from flow_matching.solver import ODESolver

    def velocity(x, t):
        t = t.double().clamp(0.005, 1 - 1e-5).expand(len(x))
        xhat, eps = denoised(case, x / expand_like(t.float(), x), 2 * ((1 - t) / t).log())
        return xhat - eps

    return ODESolver(velocity).compute_likelihood(x, case.model.sde.prior_log_prob, **how)[1]


def k_diffusion(case, x, rng, least=0.01):
    """The package's own, on the same denoiser of x + sigma eps."""
    from k_diffusion.sampling import log_likelihood as of_package

    sde = case.model.sde
    most = math.exp(float(sde.log_nsr(at(sde.T))) / 2)
    return of_package(lambda y, sigma: denoised(case, y, 2 * sigma.log())[0], x, least, most)[0]


@torch.no_grad()
def monai(case, x, rng, variance):
    """The package's own, in total nats and its decoder's mass in 2/255 as a density."""
    from monai.inferers import DiffusionInferer
    from monai.networks.schedulers import DDPMScheduler

    betas = {"schedule": "linear_beta", "beta_start": 1e-4, "beta_end": 0.02}
    steps = DDPMScheduler(**betas, clip_sample=False, variance_type=variance)
    how = {"scaled_input_range": (-1, 1), "verbose": False}
    means = DiffusionInferer(steps).get_likelihood(x, case.noise, steps, **how)
    return -D * (means.double() + math.log(2 / 255))


def estimators(steps):
    """(name, what it is of, passes about, f), f(case, x, rng) being (B,) nats of rows x (B, ...),
    or these and the errors that are stated; a case's truths are values and errors (N,)."""
    midpoint = partial(flow_matching, step_size=0.02, method="midpoint")
    dopri5 = partial(flow_matching, step_size=None, method="dopri5")
    return [
        ("ours, 32 draws", "bound", 32, partial(ours, draws=32)),
        ("ours, 8 draws", "bound", 8, partial(ours, draws=8)),
        ("VDM's strata, 32 times", "bound", 33, vdm_strata),
        (f"DDPM's sum, {steps} steps", "bound", steps, partial(ddpm_sum, steps=steps)),
        ("usual, 1 probe", "bound", 2, partial(uniform, partial(probes, 1))),
        ("usual, 16 probes", "bound", 17, partial(uniform, partial(probes, 16))),
        ("usual, Hutch++ of 15", "bound", 16, partial(uniform, hutch_plus_plus)),
        ("path integral", "bound", 1, partial(uniform, path_integral)),
        ("MONAI, fixed_small", "log p", 1000, partial(monai, variance="fixed_small")),
        ("MONAI, fixed_large", "log p", 1000, partial(monai, variance="fixed_large")),
        ("ours, method=ode", "ODE", 2800, partial(ours, method="ode")),
        ("score_sde's ODE", "ODE", 1000, song_ode),
        ("flow_matching, midpoint 0.02", "ODE", 200, midpoint),
        ("flow_matching, dopri5 1e-5", "ODE", 800, dopri5),
        ("k-diffusion", "ODE", 400, k_diffusion),
    ]


def rows(case, images, name, what, of, repeats, unit):
    """An estimator's lines by `repeats` values an image; unit, variance x (passes, ms) of ours."""
    value, known_to = (v[:images] for v in case.truths[what])
    x = case.x[:images].repeat_interleave(repeats, 0)
    torch.manual_seed(0)  # packages draw from the global state
    before, start = case.model.a.rows, time.process_time()
    parts = [of(case, part, generator(name, k)) for k, part in enumerate(x.split(256))]
    ms, passes = 1000 * (time.process_time() - start) / len(x), case.model.a.rows - before
    passes, covers, stated = passes / len(x), "states none", isinstance(parts[0], tuple)
    z = np.concatenate([part[0] if stated else part.detach() for part in parts])
    off = (value[:, None] - z.reshape(len(value), repeats)) / BITS
    if stated:
        error = np.concatenate([part[1] for part in parts]).reshape(off.shape)
        hits = np.abs(off) <= Z95 * np.hypot(error, known_to[:, None]) / BITS
        covers = f"{hits.mean():.1%} of {hits.size}"
    variance = float(off.var(1, ddof=1).mean())
    error = math.hypot(math.sqrt(variance / z.size), np.linalg.norm(known_to) / len(value) / BITS)
    cost, lines = np.array([variance * passes, variance * ms]), []
    unit = cost if unit is None else unit
    for fit, more in [((0, 0), "")] + [(case.fit, ", fit charged")] * (name == "ours, 32 draws"):
        ratios = (cost + np.array(fit) * TARGET**2) / unit
        cells = [name + more, what, f"{off.mean():+.4f} ± {error:.4f}", f"{passes:,.0f}"]
        cells += [f"{ms:,.3g}", *(f"{v:,.{2 * (v < 10)}f}" for v in ratios)]
        needed = f"{math.ceil(max(1, variance / TARGET**2)) * passes + fit[0]:,.0f}"
        cells += ["never" if abs(off.mean()) > TARGET + 3 * error else needed, covers]
        lines.append(f"| {' | '.join(cells)} |")
    return lines, unit


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    of_each = {"images": 8, "passes": 12_000, "pilot": 1024, "truth": 4096, "steps": 1000}
    of_each |= {"odes": 4, "tolerance": 1e-3}
    for name, default in {**of_each, "nets": "exact,digits-demo"}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.nets.split(","):
        case, unit = exact(options) if name == "exact" else trained(options, name), None
        ours(case, case.x[:1], generator("first"), draws=8)  # so that no first call is timed
        print(f"\n{name}: {case.fit[0]:,} passes and {case.fit[1]:,.0f} ms of the fit\n{HEAD}")
        for title, what, passes, of in estimators(options.steps):
            images = min(options.odes if what == "ODE" else math.inf, options.images)
            if what in case.truths and images:
                repeats = min(1024, max(2, options.passes // (images * passes)))
                try:
                    lines, unit = rows(case, images, title, what, of, repeats, unit)
                except ModuleNotFoundError as error:
                    lines = [f"| {title} | {what} | {error.name} is not installed{' |' * 7}"]
                print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
