"""presets, plan."""

import click

from vdiff.cli.group import PATH, ROOT, main
from vdiff.config import PRESETS, load_config, preset_names, read_yaml


@main.command()
@click.argument("preset", required=False)
def presets(preset):
    """List the presets, or show PRESET in full with its defaults filled in."""
    if preset is None:
        click.echo("\n".join(preset_names()))
        return
    click.echo(load_config({"preset": preset}).model_dump_json(indent=2))


@main.command()
@click.argument("preset", default="paper")
@click.option("--configfile", type=PATH, help="Keys laid over the preset (YAML).")
@click.option("--gflops", type=float, help="The rate of your device, instead of those measured.")
@ROOT
def plan(preset, configfile, gflops, data_root):
    """What PRESET will cost: passes through the networks, hours, disk and jobs."""
    import pandas as pd

    from vdiff.plan import costs, rates

    over = read_yaml(configfile) if configfile else {}
    config = load_config({"preset": preset, **over})
    known = rates(PRESETS.parent / "resources" / "throughput.csv")
    found = {"given": gflops} if gflops else {name: rate for name, (rate, _) in known.items()}
    all_costs = costs(config, data_root)
    rows = [
        {
            "experiment": cost.experiment,
            "step": cost.step,
            "jobs": cost.jobs,
            "passes": f"{cost.passes:.3g}",
            "GFLOP a pass": f"{cost.gflop:.3g}",
            "disk, GB": f"{cost.disk / 1e9:.2f}",
            **{f"hours, {name}": f"{cost.hours(rate):.2f}" for name, rate in found.items()},
        }
        for cost in all_costs
    ]
    click.echo(pd.DataFrame(rows).to_string(index=False))
    hours = ", ".join(
        f"{sum(c.hours(rate) for c in all_costs):.1f} h ({name})" for name, rate in found.items()
    )
    disk = sum(c.disk for c in all_costs) / 1e9
    click.echo(f"Together {sum(c.jobs for c in all_costs)} jobs, {disk:.1f} GB, {hours}.")
    for name, (_, source) in known.items():
        if not gflops:
            click.echo(f"{name}: {source}.")
    click.echo("Small networks take longer: overhead bounds them, not arithmetic.")
