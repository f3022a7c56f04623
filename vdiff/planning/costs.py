"""What a configuration will cost before it is run: forward FLOPs, hours, disk and jobs.

A step of training counts as three forward passes (one forward, two for the gradients). Times
follow from a measured rate of one device; what is bounded by memory or overhead, such as small
networks on a GPU, takes longer.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vdiff.config import DATASETS, Config, run_of
from vdiff.config.specs import SPECS
from vdiff.data import load
from vdiff.data.readers import TEST_SIZES
from vdiff.steps import BACKWARD
from vdiff.trained import input_shape, network_of
from vdiff.training.kept import snapshot_iterations


@dataclass(frozen=True)
class Cost:
    """passes: forward passes of one example; gflop: all of them; disk in bytes; jobs submitted."""

    experiment: str
    step: str
    jobs: int
    passes: float
    gflop: float
    disk: int

    def hours(self, gflops: float) -> float:
        return self.gflop / gflops / 3600


def costs(config: Config, data_root: Path) -> list[Cost]:
    """One row per experiment and step that runs the network."""
    return [row for name in config.experiments for row in _costs(config, name, data_root)]


def _costs(config: Config, name: str, data_root: Path) -> list[Cost]:
    e = config.experiments[name]
    shape, test = _shape(e.dataset, data_root)
    of_arms = [_arm(config, name, arm, shape, test) for arm in e.arms]
    rows = []
    for step in of_arms[0]:
        each = [arm[step] for arm in of_arms]
        if step != "train" and SPECS[step].first_arm:
            each = each[:1]
            seeds = 1
        else:
            seeds = len(e.seeds)
        jobs, passes, gflop, disk = (sum(column) for column in zip(*each, strict=True))
        rows.append(
            Cost(name, step, int(seeds * jobs), seeds * passes, seeds * gflop, int(seeds * disk))
        )
    return rows


def _arm(
    config: Config, name: str, arm: str, shape: tuple[int, ...], test: int
) -> dict[str, tuple[int, float, float, int]]:
    """Step to (jobs, passes, GFLOP, bytes) of one arm and seed."""
    e = config.experiments[name]
    run = run_of(config, name, arm, e.seeds[0])
    network, t = network_of(run, shape), run.training
    size = 4 * sum(p.numel() for p in network.parameters())
    snapshots = len(snapshot_iterations(run))
    states = 2 * (4 if t.ema else 3) * size  # the last two: weights, Adam's two moments, EMA
    by_step: dict[str, tuple[int, float, int]] = {}
    passes = (1 + BACKWARD) * t.iterations * t.batch_size * t.draws_per_image
    by_step["train"] = (1, passes, snapshots * size + states)
    for spec in SPECS.values():
        settings = getattr(e, spec.section)
        if settings is not None:
            jobs = len(spec.axis.values(settings)) if spec.axis else 1
            cost = import_module(f"vdiff.steps.{spec.name}").cost
            passes = cost(settings, snapshots, test, shape) * (1 + run.network.mirrored)
            by_step[spec.name] = (jobs, passes, 0)
    gflop = forward_gflop(network, input_shape(run, shape))
    return {step: (j, passes, passes * gflop, disk) for step, (j, passes, disk) in by_step.items()}


def example_shape(dataset: str, data_root: Path) -> tuple[int, ...]:
    """The shape of an example; downloads nothing."""
    return _shape(dataset, data_root)[0]


def _shape(dataset: str, data_root: Path) -> tuple[tuple[int, ...], int]:
    """The shape of an example and the number of test examples; downloads nothing."""
    if dataset in TEST_SIZES:
        return DATASETS[dataset], TEST_SIZES[dataset]
    data = load(dataset, data_root)
    return data.shape, data.test_size


def forward_gflop(network: nn.Module, shape: tuple[int, ...]) -> float:
    """Counted floating-point operations of one forward pass of one example, in 1e9."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network(torch.zeros(1, *shape), torch.zeros(1))
    return counter.get_total_flops() / 1e9
