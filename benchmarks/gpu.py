"""The first hour on a new device: is it right, how fast is it, what does it hold? Nine minutes.

    python benchmarks/gpu.py [--device cuda] [--out gpu] [--minutes 9] [--small]

Parity: loss, gradient, ELBO and samples of one net on the CPU in float32 and on the device in
float32, TF32 and bfloat16; and whether steps that are replayed as a CUDA graph are those launched
in parts. Speed: images per second of training both of the paper's nets by the published recipe
(plain.py) and with each option, kernels a step, peak memory and the share of the device's own rate
of matrix products; then evaluation and sampling; then several processes, if there are several GPUs.
OUT.md gets the tables, OUT.csv the rows for vdiff/resources/throughput.csv. What does not fit the
time is left out and named. --small: tiny nets, to see that it runs.
"""

import argparse
import contextlib
import copy
import os
import runpy
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

import torch
import torch._inductor.config
from torch.utils._python_dispatch import TorchDispatchMode

from vdiff.config import Evaluation, Run, Sampling, validate
from vdiff.data.images import Images
from vdiff.diffusion.dsm import dsm_loss
from vdiff.machine.devices import Wanted, choose, name_of
from vdiff.machine.parallel import Workers
from vdiff.machine.precision import products
from vdiff.machine.seeds import generator
from vdiff.planning.costs import forward_gflop
from vdiff.steps.evaluate import ESTIMATORS
from vdiff.steps.sample import sample_images
from vdiff.trained import Trained, input_shape, network_of, sde_of_run
from vdiff.training.trainer import Trainer

NETS = {"mnist": ((1, 28, 28), {}),
        "cifar10": ((3, 32, 32), {"channels": 128, "multipliers": [1, 2, 2, 2]})}  # fmt: skip
TINY = {"channels": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4, "time_scale": 1000}
OPTIONS = {
    "float32": {"precision": "float32"},
    "TF32": {"precision": "tf32"},
    "TF32, graph": {"precision": "tf32", "compile": "graph"},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, compile": {"precision": "bfloat16", "compile": True},
    "bfloat16, reduce-overhead": {"precision": "bfloat16", "compile": "reduce-overhead"},
}


torch._inductor.config.cpp.enable_kernel_profile = True  # names them in profiles


class Counted(TorchDispatchMode):
    """Counts operations that are no views: what a device without a profiler launches."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


class Bench:
    def __init__(self, options):
        self.device = choose(Wanted(options.device, share=True))
        self.small, self.end = options.small, time.monotonic() + 60 * options.minutes
        self.lines, self.rates, self.left_out = [], [], []

    def say(self, line=""):
        print(line, flush=True)
        self.lines.append(line)

    def out_of_time(self, what):
        late = time.monotonic() > self.end
        if late:
            self.left_out.append(what)
        return late

    def wait(self):
        if self.device != "cpu":
            torch.get_device_module(self.device).synchronize()

    def timed(self, call, seconds):
        """(calls, seconds) of as many calls as fit, after two to warm up."""
        call(), call(), self.wait()
        start, n = time.perf_counter(), 0
        while n == 0 or time.perf_counter() - start < seconds:
            call()
            n += 1
            if n % 5 == 0 or self.small:
                self.wait()
        self.wait()
        return n, time.perf_counter() - start

    def run(self, name, **training):
        network = TINY if self.small else NETS[name][1]
        content = {"experiment": "gpu", "arm": "debias-True", "dataset": name, "debias": True,
                   "seed": 0, "network": network,
                   "training": {"batch_size": 8 if self.small else 128, **training}}  # fmt: skip
        return validate(Run, content)

    def images(self, name, n=1024):
        shape = (n, *NETS[name][0])
        x = torch.randint(256, shape, generator=generator("gpu"), dtype=torch.uint8)
        return Images(x, x[:256])

    def trainer(self, name, device, folder, **training):
        return Trainer(self.run(name, **training), self.images(name), Workers(device), Path(folder))


def relative(a, b):
    a, b = (v.detach().double().cpu().flatten() for v in (a, b))
    return float((a - b).norm() / b.norm())


def not_fresh(run, data, rng):
    """Weights of a net that has moved: a fresh one returns 0 whatever the arithmetic."""
    fresh = network_of(run, data.shape).state_dict().items()
    return {name: w + 0.05 * torch.randn(w.shape, generator=rng) for name, w in fresh}


def parity(bench):
    """Relative differences of a device's numbers to the CPU's in float32."""

    def numbers(device, precision):
        with tempfile.TemporaryDirectory() as folder, products(precision):
            run = bench.run("mnist", precision=precision)
            data = bench.images("mnist", 64)
            trainer = Trainer(run, data, Workers(device), Path(folder))
            rng = generator("parity")
            weights = not_fresh(run, data, rng)
            trainer.state.network.load_state_dict(weights)
            x, s = data.sample(8, rng), sde_of_run(run).T * torch.rand(8, generator=rng).double()
            eps = torch.randn(x.shape, generator=rng)
            losses = dsm_loss(trainer.sde, trainer.a, *(v.to(device) for v in (x, s, eps)))
            parameters = list(trainer.state.network.parameters())
            gradient = torch.autograd.grad(losses.mean(), parameters)
            model = Trained(run, data, device)
            a = model.drift_with(weights)
            settings = Evaluation(images=8, pilot=64, batch_size=8)
            z, _ = ESTIMATORS["efficient"](model, a, settings)(0)
            how = Sampling(sampler="multistep", grid="log_snr", steps=5, count=8)
            images = torch.from_numpy(sample_images(model, a, how).images)
        return losses, torch.cat([g.flatten() for g in gradient]), torch.from_numpy(z), images

    truth = numbers("cpu", "float32")
    bench.say("\n| precision | loss | gradient | ELBO | samples |\n|---|---|---|---|---|")
    for name, keys in OPTIONS.items():
        if "compile" in keys:
            continue
        try:
            found = numbers(bench.device, keys["precision"])
        except NotImplementedError:
            bench.left_out.append(f"parity in {name}, which {bench.device} has not")
            continue
        cells = " | ".join(f"{relative(a, b):.1e}" for a, b in zip(found, truth, strict=True))
        bench.say(f"| {name} | {cells} |")


def replay(bench):
    """Whether replayed steps are those launched in parts, and resume to the same bytes."""

    def weights(how, cut=None, steps=20):
        with tempfile.TemporaryDirectory() as folder, products("tf32"):
            trainer = bench.trainer("mnist", bench.device, folder, compile=how)
            for i in range(steps):
                if i == cut:
                    kept = copy.deepcopy(trainer.state.dump())
                    trainer = bench.trainer("mnist", bench.device, folder, compile=how)
                    trainer.state.restore(kept)
                trainer.step()
            return torch.cat([p.flatten() for p in trainer.state.network.parameters()])

    whole = weights("graph")
    bench.say("\n| 20 steps, replayed, against | difference |\n|---|---|")
    for name, other in (("launched in parts", weights(False)), ("again", weights("graph")),
                        ("resumed after 10", weights("graph", cut=10))):  # fmt: skip
        bench.say(f"| {name} | {relative(other, whole):.1e} |")

    def evaluated(how):
        run, data = bench.run("mnist", compile=how), bench.images("mnist", 64)
        model = Trained(run, data, bench.device)
        a = model.drift_with(not_fresh(run, data, generator("replay")))
        settings = Evaluation(images=20, pilot=64, batch_size=8)
        return torch.from_numpy(ESTIMATORS["efficient"](model, a, settings)(0)[0])

    bench.say(f"| an evaluation | {relative(evaluated(False), evaluated('graph')):.1e} |")


def matmul_rate(bench, dtype):
    """The best rate of products of n x n matrices, GFLOP/s."""
    n = 256 if bench.small else (8192 if bench.device.startswith("cuda") else 2048)
    x = torch.randn(n, n, device=bench.device).to(dtype)
    calls, seconds = bench.timed(lambda: x @ x, 0.05 if bench.small else 2)
    return 2e-9 * n**3 * calls / seconds


# Operations that compute nothing: views, allocations, and reading a number.
NOTHING = {"view", "as_strided", "as_strided_", "detach", "detach_", "expand", "expand_as",
           "view_as", "reshape", "_reshape_alias", "_unsafe_view", "flatten", "narrow",
           "split_with_sizes", "is_nonzero", "broadcast_tensors", "slice", "select", "t",
           "transpose", "permute", "unsqueeze", "squeeze", "alias", "chunk", "split", "unbind",
           "to", "item", "empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided",
           "resize_", "result_type", "resolve_conj", "_local_scalar_dense",
           "lift_fresh"}  # fmt: skip


def launched(events):
    """Of the CPU's profile: fused kernels, and operations within no other that compute."""

    def outermost(event):
        above = event.cpu_parent
        while above is not None and above.name in ("aten::to", "aten::item"):
            above = above.cpu_parent
        return above is None or not above.name.startswith("aten::")

    return sum(
        "cpp_fused" in e.name
        or (e.name.startswith("aten::") and e.name[6:] not in NOTHING and outermost(e))
        for e in events
    )


def kernels(bench, step):
    """How many kernels a step launches: by the profiler, or operations where it sees none."""
    if bench.device == "cpu":
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            step()
        return launched(found.events())
    if not bench.device.startswith("cuda"):
        with Counted() as counted:
            step()
        return counted.count
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
        step()
        bench.wait()
    return sum(e.device_type.name == "CUDA" for e in found.events())


def plain(bench, name):
    """Images per second of the published recipe, in plain eager PyTorch (plain.py)."""
    of = runpy.run_path(str(Path(__file__).with_name("plain.py")))
    channels, side, _ = NETS[name][0]
    keys = {"channels": 32, "multipliers": (1, 2, 2), **NETS[name][1]}
    if bench.small:
        keys |= {"multipliers": (1, 1), "blocks": 1}
    net = of["PlainUNet"](channels, side, **keys).to(bench.device)
    size = bench.run(name).training.batch_size
    batches = of["batches"](bench.images(name).train, size)
    steps = of["train"](net, (x.to(bench.device) for x in batches))
    n, seconds = bench.timed(lambda: next(steps), 0.05 if bench.small else 10)
    return n * size / seconds


def training(bench):
    peaks = {p: matmul_rate(bench, d) for p, d in (("float32", torch.float32),
                                                   ("bfloat16", torch.bfloat16))}  # fmt: skip
    with products("tf32"):
        peaks["tf32"] = matmul_rate(bench, torch.float32)
    bench.say(f"\nMatrix products: {', '.join(f'{p} {v:,.0f}' for p, v in peaks.items())} GFLOP/s.")
    bench.say("\n| net | options | images/s | kernels a step | memory, GB | of matrix products |")
    bench.say("|---|---|---|---|---|---|")
    for name in NETS:
        if not bench.out_of_time(f"the published recipe on {name}"):
            rate = plain(bench, name)
            bench.say(f"| {name} | published recipe, eager | {rate:,.0f} |  |  |  |")
    for option, keys in OPTIONS.items():  # those that compile, which takes minutes, last
        for name in NETS:
            what = f"training {name}, {option}"
            compiling = keys.get("compile") not in (None, "graph")
            if bench.out_of_time(what) or (bench.small and compiling):
                continue
            cuda = bench.device.startswith("cuda")
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            try:
                with tempfile.TemporaryDirectory() as folder, products(keys["precision"]):
                    trainer = bench.trainer(name, bench.device, folder, iterations=10_000, **keys)
                    trainer.step()  # compiles
                    count = kernels(bench, trainer.step)
                    n, seconds = bench.timed(trainer.step, 0.05 if bench.small else 10)
            except (NotImplementedError, torch.OutOfMemoryError) as error:
                bench.left_out.append(f"{what} ({type(error).__name__})")
                continue
            run = trainer.run
            rate = n * run.training.batch_size / seconds
            network = network_of(run, NETS[name][0])
            gflop = 3 * forward_gflop(network, input_shape(run, NETS[name][0])) * rate
            memory = f"{torch.cuda.max_memory_allocated() / 1e9:.2f}" if cuda else ""
            share = gflop / peaks[keys["precision"]]
            bench.say(f"| {name} | {option} | {rate:,.0f} | {count} | {memory} | {share:.0%} |")
            device = f"{name_of(bench.device)}, {option}, {name}"
            bench.rates.append(f'"{device}","{gflop:.0f}","measured by benchmarks/gpu.py"')


def measuring(bench):
    bench.say("\n| net | step | passes of one image a second |\n|---|---|---|")
    for name, (how, words) in product(NETS, ((False, ""), ("graph", ", replayed"))):
        if bench.out_of_time(f"evaluation and sampling of {name}{words}"):
            continue
        run, data, n = bench.run(name, compile=how), bench.images(name), 16 if bench.small else 256
        model = Trained(run, data, bench.device)
        a = model.drift_with(network_of(run, data.shape).state_dict())
        settings = Evaluation(images=n, pilot=64, batch_size=n)
        for estimator, of in ESTIMATORS.items():
            one = of(model, a, settings)
            calls, seconds = bench.timed(partial(one, 0), 0.05 if bench.small else 5)
            rate = n * calls / seconds
            bench.say(f"| {name} | evaluate, {estimator}{words} | {rate:,.0f} |")
        drawing = Sampling(steps=4, count=n, batch_size=n)
        draw = partial(sample_images, model, a, drawing)
        calls, seconds = bench.timed(draw, 0.05 if bench.small else 5)
        bench.say(f"| {name} | sample, 4 steps{words} | {4 * n * calls / seconds:,.0f} |")


def several(bench):
    """The same batch shared by all GPUs, by the command line."""
    count = torch.cuda.device_count() if bench.device.startswith("cuda") else 0
    if count < 2 or bench.out_of_time("several GPUs"):
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", "-m",
                   "--", "vdiff", "train", "--dataset", "cifar10", "--debias", "True",
                   "--num-iterations", "100", "--out", folder]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    last = [line for line in done.stderr.splitlines() if "it/s" in line or "s/it" in line][-1:]
    bench.say(f"\n{count} GPUs, batch of 128 shared: {last[0].strip() if last else done.stderr}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--minutes", type=float, default=8.5)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    os.environ["VDIFF_PROGRESS"] = "none"
    bench = Bench(options)
    bench.say(f"{name_of(bench.device)}, torch {torch.__version__}")
    with contextlib.suppress(KeyboardInterrupt):
        for part in (parity, replay, training, measuring, several):
            part(bench)
    if bench.left_out:
        bench.say(f"\nLeft out: {'; '.join(bench.left_out)}.")
    options.out.with_suffix(".md").write_text("\n".join(bench.lines) + "\n")
    options.out.with_suffix(".csv").write_text("\n".join(["device,gflops,source", *bench.rates]))


if __name__ == "__main__":
    main()
