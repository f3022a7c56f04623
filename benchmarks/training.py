"""Training side by side: vdiff's loop against the published recipe in plain eager PyTorch.

    python benchmarks/training.py [--network mnist|cifar10] [--batch N] [--steps N] [--rounds N]

Both train the paper's net of that name on noise images, each in a process of its own so that
its peak memory is its own, in turn (plain, vdiff, plain, ...). Shown are the medians of images
per second over the rounds, the ratio of pairs, the part of this machine's measured float32
matmul rate that the counted FLOPs (three forward passes a step) amount to, and peak resident
memory, whole and above what importing the libraries took.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

# Forward GFLOP per image of the paper's nets, as counted, and the arguments that make them.
NETWORKS = {
    "mnist": (0.543, (1, 28, 32, (1, 2, 2))),
    "cifar10": (12.44, (3, 32, 128, (1, 2, 2, 2))),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="mnist")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--micro", type=int, help="training.micro_batch of vdiff.")
    parser.add_argument("--precision", default="tf32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("plain", "vdiff"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    if options.only:
        print(json.dumps({"plain": plain, "vdiff": vdiff}[options.only](options)))
        return
    peak = matmul_rate()
    found = {"plain": [], "vdiff": []}
    for _ in range(options.rounds):
        for name, results in found.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append(json.loads(output.splitlines()[-1]))
    flop = 3 * NETWORKS[options.network][0]
    print(f"matmul: {peak:.0f} GFLOP/s on {options.threads} threads")
    print("| recipe | images/s | of the matmul rate | peak memory, GB | above imports, GB |")
    print("|---|---|---|---|---|")
    for name, results in found.items():
        rate = statistics.median(r["rate"] for r in results)
        memory = statistics.median(r["memory"] for r in results)
        above = statistics.median(r["memory"] - r["imports"] for r in results)
        part = f"{rate * flop / peak:.0%}"
        print(f"| {name} | {rate:.1f} | {part} | {memory:.2f} | {above:.2f} |")
    ratios = [b["rate"] / a["rate"] for a, b in zip(found["plain"], found["vdiff"], strict=True)]
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"ratio of images/s: {middle:.2f} (from {low:.2f} to {high:.2f})")


def matmul_rate(n: int = 2048, repeats: int = 7) -> float:
    """The best of some float32 products n x n, GFLOP/s."""
    import torch

    x = torch.randn(n, n, generator=torch.Generator().manual_seed(0))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        x @ x
        times.append(time.perf_counter() - start)
    return 2e-9 * n**3 / min(times)


def images(options):
    """As many as fill some batches, the same for both."""
    import torch

    channels, height = NETWORKS[options.network][1][:2]
    n = max(4 * options.batch, 512)
    return torch.randint(
        256, (n, channels, height, height), dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip


def peak_memory() -> float:
    """Peak resident memory so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measured(start: float, options, imports: float) -> dict:
    rate = options.steps * options.batch / (time.perf_counter() - start)
    return {"rate": rate, "memory": peak_memory(), "imports": imports}


def plain(options) -> dict:
    import torchvision  # noqa: F401
    from plain import PlainUNet, batches, train

    imports = peak_memory()
    net = PlainUNet(*NETWORKS[options.network][1])
    steps = train(net, batches(images(options), options.batch))
    for k in range(options.steps + 2):
        if k == 2:  # after two steps to warm up
            start = time.perf_counter()
        next(steps)
    return measured(start, options, imports)


def vdiff(options) -> dict:
    """The very loop of `vdiff train`, timed from its third row."""
    import tempfile
    from pathlib import Path

    from vdiff.config import Run, validate
    from vdiff.data.images import Images
    from vdiff.training.loop import train

    imports = peak_memory()
    channels, multipliers = NETWORKS[options.network][1][2:]
    steps = options.steps + 2
    run = {
        "experiment": "benchmark", "arm": "debias-False", "dataset": options.network,
        "debias": False, "seed": 0,
        "network": {"channels": channels, "multipliers": multipliers},
        "training": {
            "iterations": steps + 1, "batch_size": options.batch, "lr": 1e-4, "log_every": 1,
            "micro_batch": options.micro, "precision": options.precision,
            "compile": options.compile,
        },
    }  # fmt: skip
    result = {}

    class Clock:
        def start(self, iteration):
            pass

        def snapshot(self, iteration, weights):
            pass

        def row(self, row):
            if row["iteration"] == 2:
                self.began = time.perf_counter()
            if row["iteration"] == steps:
                result.update(measured(self.began, options, imports))

    x = images(options)
    with tempfile.TemporaryDirectory() as folder:
        train(validate(Run, run), Images(x, x[:2]), Path(folder) / "state", monitor=Clock())
    return result


if __name__ == "__main__":
    main()
