"""What a configuration will cost before it is run: forward FLOPs, hours, disk and jobs.

A step of training counts as three forward passes (one forward, two for the gradients). Times
follow from a measured rate of one device; what is bounded by memory or overhead, such as small
networks on a GPU, takes longer.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vdiff.config import Config, Experiment, run_of
from vdiff.data import SHAPES, Images, load
from vdiff.train import network_of

TEST_IMAGES = 10_000  # of MNIST and CIFAR-10
BACKWARD = 2  # passes' worth of a gradient, beside the forward pass
ODE_EVALUATIONS = 200  # of the two tolerances of an exact likelihood, about


@dataclass(frozen=True)
class Cost:
    """passes: forward passes of one example; gflop: of each; disk in bytes; jobs submitted."""

    experiment: str
    step: str
    jobs: int
    passes: float
    gflop: float
    disk: int

    def hours(self, gflops: float) -> float:
        return self.passes * self.gflop / gflops / 3600


def costs(config: Config, data_root: Path) -> list[Cost]:
    """One row per experiment and step that runs the network."""
    return [row for name in config.experiments for row in _costs(config, name, data_root)]


def _costs(config: Config, name: str, data_root: Path) -> list[Cost]:
    e = config.experiments[name]
    shape, test = _shape(e.dataset, data_root)
    network = network_of(run_of(config, name, e.debias[0], e.seeds[0]), shape)
    size = 4 * sum(p.numel() for p in network.parameters())
    gflop, runs, t = forward_gflop(network, shape), len(e.debias) * len(e.seeds), e.training
    snapshots = len({*range(0, t.iterations, t.snapshot_every), t.iterations})
    states = 2 * (4 if t.ema else 3) * size  # the last two: weights, Adam's two moments, EMA
    rows = [  # step, jobs, and what each of them costs
        ("train", runs, (1 + BACKWARD) * t.iterations * t.batch_size, snapshots * size + states),
        ("evaluate", runs, snapshots * _evaluation(e, test), 0),
    ]
    if e.likelihood:
        passes = e.likelihood.images * ODE_EVALUATIONS * (1 + BACKWARD)
        rows.append(("likelihood", runs, passes, 0))
    if e.sampling:
        rows.append(("sample", runs, e.sampling.count * e.sampling.steps, 0))
    if e.trajectory:
        v = e.trajectory
        rows.append(("trajectory", len(v.lmbds), v.samples * v.steps, 0))
    if e.variance:
        v = e.variance
        passes = 2 * v.draws + 4 * (1 + BACKWARD) * v.batches * v.batch_size
        rows.append(("variance", 1, passes, 0))
    return [
        Cost(name, step, jobs, jobs * passes, gflop, jobs * disk)
        for step, jobs, passes, disk in rows
    ]


def _shape(dataset: str, data_root: Path) -> tuple[tuple[int, ...], int]:
    """The shape of an example and the number of test examples; downloads nothing."""
    if dataset in SHAPES:
        return SHAPES[dataset], TEST_IMAGES
    data = load(dataset, data_root)
    return data.shape, len(data.test) if isinstance(data, Images) else data.test_size


def _evaluation(e: Experiment, test: int) -> float:
    """Passes at one snapshot: the published estimator takes a gradient, the efficient none."""
    v, n = e.evaluation, min(e.evaluation.images or test, test)
    passes = {"published": n * (1 + BACKWARD), "efficient": n * v.passes + v.pilot}
    return sum(passes[name] for name in v.estimators)


def forward_gflop(network: nn.Module, shape: tuple[int, ...]) -> float:
    """Counted floating-point operations of one forward pass of one example, in 1e9."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network(torch.zeros(1, *shape), torch.zeros(1))
    return counter.get_total_flops() / 1e9


def rates(path: Path) -> dict[str, tuple[float, str]]:
    """Device to (GFLOP/s in training, where the figure comes from)."""
    table = pd.read_csv(path, comment="#")
    return {row.device: (row.gflops, row.source) for row in table.itertuples()}
