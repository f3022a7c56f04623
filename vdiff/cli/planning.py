"""plan: what a preset will cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vdiff.cli.group import main
from vdiff.cli.options import PATH, ROOT
from vdiff.config import Config, load_config, read_yaml, run_of

if TYPE_CHECKING:
    from vdiff.planning.costs import Cost


def rates() -> dict[str, tuple[float, str]]:
    """Device to (GFLOP/s in training, where the figure comes from)."""
    import pandas as pd

    from vdiff.resources import THROUGHPUT

    with THROUGHPUT.open() as file:
        table = pd.read_csv(file, comment="#")
    return {row.device: (row.gflops, row.source) for row in table.itertuples()}


@main.command()
@click.argument("preset", default="paper")
@click.option("--configfile", type=PATH, help="Keys laid over the preset (YAML).")
@click.option("--gflops", type=click.FloatRange(0, min_open=True), help="Your device's rate.")
@click.option("--memory", is_flag=True, help="Also the memory that a device needs.")
@ROOT
def plan(
    preset: str, configfile: Path | None, gflops: float | None, memory: bool, data_root: Path
) -> None:
    """Estimate what PRESET will cost: passes through the networks, hours, disk, jobs, memory."""
    import pandas as pd

    from vdiff.planning.costs import costs

    over = read_yaml(configfile) if configfile else {}
    config = load_config({"preset": preset, **over})
    known = rates()
    speeds = {"given": gflops} if gflops else {name: rate for name, (rate, _) in known.items()}
    own = {} if gflops else _measured(config)
    all_costs = costs(config, data_root)
    rows = [
        {
            "experiment": cost.experiment,
            "step": cost.step,
            "jobs": cost.jobs,
            "passes": f"{cost.passes:.3g}",
            "GFLOP a pass": f"{cost.gflop / max(cost.passes, 1):.3g}",
            "disk, GB": f"{cost.disk / 1e9:.2f}",
            **{name: _long(cost.hours(rate)) for name, rate in speeds.items()},
            **({"here": _long(cost.hours(_here(config, cost, own)))} if own else {}),
        }
        for cost in all_costs
    ]
    click.echo(pd.DataFrame(rows).to_string(index=False))
    totals = {name: sum(c.hours(rate) for c in all_costs) for name, rate in speeds.items()}
    if own:
        totals["here"] = sum(c.hours(_here(config, c, own)) for c in all_costs)
    times = ", ".join(f"{_long(total)} ({name})" for name, total in totals.items())
    disk = sum(c.disk for c in all_costs) / 1e9
    click.echo(f"Together {sum(c.jobs for c in all_costs)} jobs, {disk:.1f} GB, {times}.")
    for name, (_, source) in known.items():
        if not gflops:
            click.echo(f"{name}: {source}.")
    for name, rate in dict(own.values()).items():
        click.echo(f"here, {name}: {rate:.0f} GFLOP/s of matrix products, measured just now.")
    click.echo("Small networks take longer: overhead bounds them, not arithmetic.")
    if memory:
        click.echo()
        click.echo(pd.DataFrame(_memory(config, data_root)).to_string(index=False))
        click.echo(
            "fits: examples at once, training.micro_batch, on a device of so many GB; "
            f"{HEADROOM:.0%} is left for kernels and fragments."
        )


def _long(hours: float) -> str:
    """A time in the unit that suits it.

    >>> _long(0.001), _long(0.4), _long(26.61)
    ('4 s', '24 min', '26.6 h')
    """
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.0f} min" if hours < 1 else f"{hours:.1f} h"


def _precision(config: Config, experiment: str, step: str) -> str:
    """What a step of an experiment asks for."""
    e = config.experiments[experiment]
    if step == "train":
        return run_of(config, experiment, next(iter(e.arms)), e.seeds[0]).training.precision
    return e.evaluation.precision if step == "evaluate" else "float32"


def _measured(config: Config) -> dict[str, tuple[str, float]]:
    """Each precision that is asked for to the one that this machine would compute in, as a training
    does, and its rate in GFLOP/s."""
    import torch

    from vdiff.config.specs import SPECS
    from vdiff.machine.precision import gflops, usable

    device = "cuda" if torch.cuda.is_available() else "cpu"
    asked = {_precision(config, name, s) for name in config.experiments for s in ("train", *SPECS)}
    used = {name: usable(name, device) for name in sorted(asked)}
    rate = {name: gflops(name, device) for name in {*used.values()}}
    return {name: (other, rate[other]) for name, other in used.items()}


def _here(config: Config, cost: "Cost", own: Mapping[str, tuple[str, float]]) -> float:
    return own[_precision(config, cost.experiment, cost.step)][1]


DEVICES_GB = (8, 16, 24, 40, 80)
HEADROOM = 0.15


def _memory(config: Config, data_root: Path) -> list[dict]:
    """A row for each experiment and arm: GB of training and of evaluation, and what fits."""
    from vdiff.planning.costs import example_shape
    from vdiff.planning.memory import evaluation_memory, training_memory

    rows = []
    for name, e in config.experiments.items():
        shape = example_shape(e.dataset, data_root)
        for arm in e.arms:
            run = run_of(config, name, arm, e.seeds[0])
            t, paper = run.training, "published" in e.evaluation.estimators
            training = training_memory(run, shape)
            at_once = t.micro_batch or t.batch_size * t.draws_per_image
            evaluation = evaluation_memory(run, shape, paper)
            rows.append(
                {
                    "experiment": name,
                    "arm": arm,
                    "training, GB": f"{training.at(at_once) / 1e9:.2f} ({at_once} at once)",
                    "evaluation, GB": f"{evaluation.at(e.evaluation.batch_size) / 1e9:.2f} "
                    f"({e.evaluation.batch_size})",
                    **{f"fits {gb} GB": training.most(gb * 1e9, HEADROOM) for gb in DEVICES_GB},
                }
            )
    return rows
