"""sample, trajectory, distances."""

import logging

import click

from vdiff.cli.group import DEVICE, PATH, ROOT, RUN, SNAPSHOTS, from_json, main
from vdiff.cli.trained import Trained
from vdiff.config import GRIDS, SAMPLERS, Distances, Sampling, Trajectory, validate
from vdiff.devices import anywhere
from vdiff.errors import VdiffError
from vdiff.tidy import write_csv, write_npz

log = logging.getLogger("vdiff")


@main.command()
@RUN
@SNAPSHOTS
@click.option("--out", type=PATH, required=True, help="The NPZ of images to write.")
@click.option("--table", type=PATH, help="Also write the count of clipped pixels (CSV).")
@click.option("--count", type=int, default=16, help="Number of images.")
@click.option("--steps", type=int, default=1000, help="Steps of the sampler.")
@click.option("--lmbd", type=float, default=0.0, help="Member of the lambda family, at most 1.")
@click.option("--sampler", default="euler_maruyama", help=f"One of {', '.join(SAMPLERS)}.")
@click.option("--grid", default="uniform", help=f"Grid of times: {', '.join(GRIDS)}.")
@click.option("--frames", type=int, default=0, help="Pictures of the way, for an animation.")
@click.option("--batch-size", type=int, default=64, help="Images at once.")
@ROOT
@DEVICE
def sample(
    run_file, snapshots, out, table, count, steps, lmbd, sampler, grid, frames, batch_size,
    data_root, device,
):  # fmt: skip
    """Images sampled from the last snapshot of a run."""
    from vdiff.data import Images
    from vdiff.sample import frame_steps, sample_images

    settings = validate(
        Sampling,
        {
            "count": count,
            "steps": steps,
            "lmbd": lmbd,
            "sampler": sampler,
            "grid": grid,
            "frames": frames,
            "batch_size": batch_size,
        },
    )
    trained = Trained(run_file, data_root, device)
    if not isinstance(trained.data, Images):
        raise VdiffError(f"{trained.run.dataset} has points; use vdiff trajectory for it.")
    a = trained.last_drift(snapshots)
    grid = sample_images(
        trained.sde,
        a,
        trained.data,
        settings,
        trained.run.training.real,
        trained.run.seed,
        trained.device,
        "sample {experiment} debias={debias} seed={seed}".format(**trained.who),
    )
    row = {
        **trained.who,
        "sampler": settings.sampler,
        "lmbd": settings.lmbd,
        "steps": settings.steps,
        "images": settings.count,
        "pixels_below": grid.below,
        "pixels_above": grid.above,
    }
    real = trained.data.test[: settings.count].numpy()
    write_npz(
        out, samples=grid.images, test=real, levels=trained.data.levels, frames=grid.frames,
        steps=frame_steps(settings),
    )  # fmt: skip
    if table:
        write_csv(table, [row], "samples")
    log.info(
        "%d of %d sampled pixels lie outside the range and are clipped.",
        grid.below + grid.above,
        grid.images.size,
    )


@main.command()
@RUN
@SNAPSHOTS
@click.option("--out", type=PATH, required=True, help="The NPZ of histograms to write.")
@click.option("--table", type=PATH, help="Also write moments per step (CSV).")
@click.option("--lmbd", type=float, required=True, help="Member of the lambda family, at most 1.")
@click.option("--settings", default="{}", help="Keys of the trajectory section, as JSON.")
@ROOT
@DEVICE
def trajectory(run_file, snapshots, out, table, lmbd, settings, data_root, device):
    """2-D histograms of the states of one lambda along its way (figure 5)."""
    import numpy as np

    from vdiff.reverse import check_lmbd
    from vdiff.sample import frame_steps, histograms, moments, sample_trajectory

    check_lmbd(lmbd)
    settings = validate(Trajectory, from_json(settings))
    trained = Trained(run_file, data_root, device)
    if trained.data.shape != (2,):
        raise VdiffError(f"{trained.run.dataset} is not in the plane; a trajectory needs 2 dims.")
    a = trained.last_drift(snapshots)
    name = f"trajectory lmbd={lmbd:g}"
    states = sample_trajectory(
        trained.sde, a, lmbd, settings, trained.run.seed, trained.device, name
    )
    shown = {*settings.columns, *settings.strip_columns}
    counts = histograms(states, settings.bins, settings.extent)
    film = frame_steps(settings)
    frames = [counts[i] for i in film]
    write_npz(
        out,
        lmbd=lmbd,
        extent=settings.extent,
        final=states[max(states)],
        steps=film,
        frames=np.array(frames, np.uint16).reshape(-1, settings.bins, settings.bins),
        **{f"step_{i:05d}": counts[i] for i in sorted(shown)},
    )
    states = {i: x for i, x in states.items() if i in shown}
    if table:
        rows = [{**trained.who, "lmbd": lmbd, **m} for m in moments(states, settings.extent)]
        write_csv(table, rows, "trajectory")


@main.command()
@RUN
@SNAPSHOTS
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option(
    "--source",
    type=click.Choice(["exact", "learned"]),
    default="learned",
    help="exact: a mixture of Gaussians along the Swissroll, with its true drift.",
)
@click.option("--settings", default="{}", help="Keys of the distances section, as JSON.")
@ROOT
@DEVICE
def distances(run_file, snapshots, out, source, settings, data_root, device):
    """How far samples are from the data and from lambda 0, by lambda and number of steps."""
    from vdiff.mixture import Mixture
    from vdiff.sample import distance_rows
    from vdiff.samplers.state import in_float64

    settings = validate(Distances, from_json(settings))
    trained = Trained(run_file, data_root, device)
    if trained.data.shape != (2,):
        raise VdiffError(f"{trained.run.dataset} is not in the plane; distances needs 2 dims.")
    if source == "exact":
        mixture = Mixture.spiral(trained.sde)
        a, draw = mixture.a, mixture.draw
    else:
        a = in_float64(anywhere(trained.last_drift(snapshots), trained.device))
        draw = trained.data.draw
    name = f"distances {source}"
    rows = distance_rows(trained.sde, a, draw, settings, trained.run.seed, name)
    rows = [{**trained.who, "source": source, **row} for row in rows]
    write_csv(out, rows, "distances")
