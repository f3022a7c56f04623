"""The vdiff command: one subcommand per step of the pipeline, each of use by hand too."""

import json
import logging
import math
import os
import sys
import time
from pathlib import Path

import click

from vdiff.config import (
    GRIDS,
    ODE,
    PRECISIONS,
    PRESETS,
    SAMPLERS,
    Distances,
    Evaluation,
    Run,
    Sampling,
    Trajectory,
    Variance,
    load_config,
    merge,
    preset_names,
    read_run,
    read_yaml,
    run_of,
    validate,
)
from vdiff.devices import choose, place
from vdiff.errors import VdiffError
from vdiff.provenance import code_hash, made_by
from vdiff.tidy import SCHEMAS, WRITTEN, read_csv, read_npz, write_csv, write_json, write_npz

log = logging.getLogger("vdiff")
PATH = click.Path(path_type=Path)
FIGURES = (
    "bpd", "standard-error", "differences", "samples", "lambda-grid", "lambda-strips", "distances",
    "likelihood", "variance", "loss", "published", "comparison",
)  # fmt: skip


class Sentences(click.Group):
    """Prints a VdiffError as one sentence, without a traceback, and exits with code 1.

    With --log, a command that ends well leaves a record of what it made beside its log.
    """

    def invoke(self, ctx):
        started, made = time.monotonic(), {}
        WRITTEN.set(made)
        ctx.obj = {}
        try:
            result = super().invoke(ctx)
            if ctx.params["log_file"]:
                outputs = {name: sha for name, sha in made.items() if Path(name).is_file()}
                seconds = round(time.monotonic() - started, 3)
                write_json(
                    ctx.params["log_file"].with_suffix(".json"), _record(ctx.obj, outputs, seconds)
                )
            return result
        except VdiffError as error:
            log.error("%s", error)
            ctx.exit(1)
        except OSError as error:
            log.error("%s: %s.", error.filename or "A file could not be used", error.strerror)
            ctx.exit(1)


def _record(notes: dict, outputs: dict[str, str], seconds: float) -> dict:
    """What a command made, from what, where and in how long: part of the manifest."""
    command = ["vdiff", *sys.argv[1:]]
    return {"command": command, "seconds": seconds, **notes, **made_by(),
            "outputs": outputs}  # fmt: skip


@click.group(
    cls=Sentences,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
        "show_default": True,
    },
)
@click.option("--log", "log_file", type=PATH, help="Also write messages to this file.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of the mathematics.")
@click.version_option(package_name="vdiff")
def main(log_file, threads):
    """Regenerate and check the figures of "A Variational Perspective on Diffusion-Based
    Generative Models and Score Matching" (arXiv 2106.02808).

    The pipeline (`snakemake --cores 2`) calls these steps in turn: configure, train, evaluate,
    sample, trajectory, aggregate, plot. Each works alone.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file:
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(logging.FileHandler(log_file, mode="w"))
        except OSError as error:
            sys.exit(f"{log_file} cannot be written: {error.strerror}.")
    logging.raiseExceptions = False  # a full disk must not print a traceback per message
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)
    if threads:  # before torch is imported, which reads it once
        os.environ["OMP_NUM_THREADS"] = str(threads)


DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="auto takes a GPU where torch sees one.",
)
ROOT = click.option(
    "--data-root",
    "--dataroot",
    type=PATH,
    default=Path("data"),
    help="Folder of the torchvision sets; what is missing there is downloaded.",
)


@main.command()
@click.argument("run")
@click.option("--out", type=PATH, required=True, help="The run file to write (JSON).")
def configure(run, out):
    """Validate RUN, a run configuration as JSON text, and write it to a file."""
    write_json(out, validate(Run, _json(run)).model_dump())


def _json(text: str) -> dict:
    try:
        return json.loads(text)
    except ValueError as error:
        raise VdiffError(f"{text!r} is not JSON: {error}.") from None


@main.command()
@click.option("--run", "run_file", type=PATH, help="A run file of `vdiff configure`.")
@click.option("--preset", default="paper", help="Where --dataset is looked up without --run.")
@click.option("--dataset", default="mnist", help="An experiment of the preset; cifar is cifar10.")
@click.option("--debias", type=bool, default=False, help="Draw time from the debiased law.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights, data order and noise.")
@click.option("--num-iterations", type=int, help="Override training.iterations.")
@click.option("--batch-size", type=int, help="Override training.batch_size.")
@click.option("--lr", type=float, help="Override training.lr.")
@click.option("--real", type=bool, help="Override training.real (the logit transform).")
@click.option("--T0", "--t0", "T", type=float, help="Override sde.T.")
@click.option("--checkpoint-every", type=int, help="Override training.checkpoint_every.")
@click.option("--print-every", type=click.IntRange(1), help="Evaluate the test set so often.")
@click.option("--sample-every", type=click.IntRange(1), help="Draw 16 samples so often.")
@click.option("--num-steps", type=click.IntRange(1), default=1000, help="Steps of a sample.")
@click.option("--vtype", default="rademacher", help="Probe of --print-every, or gaussian.")
@click.option("--test-batch-size", type=int, default=256, help="Test images at once.")
@click.option("--saveroot", type=PATH, default=Path("results/byhand"), help="Parent of --expname.")
@click.option("--expname", help="Folder of the results; by default named after the run.")
@click.option("--out", type=PATH, help="Folder of the results, instead of --saveroot/--expname.")
@click.option("--state", type=PATH, help="Folder of the training state; by default OUT/state.")
@click.option("--slice-minutes", type=float, help="Save and leave after so long, with code 1.")
@ROOT
@DEVICE
def train(
    run_file, preset, dataset, debias, seed, num_iterations, batch_size, lr, real, T,
    checkpoint_every, print_every, sample_every, num_steps, vtype, test_batch_size, saveroot,
    expname, out, state, slice_minutes, data_root, device,
):  # fmt: skip
    """Train one network by score matching; resumes from its state folder.

    Writes train.csv and snapshots.csv. A stopped or killed run, started again, continues and
    ends with the same bytes. With --print-every or --sample-every, test bits/dim (also in
    evaluation.csv), the loss and sample images go to TensorBoard files in the same folder.
    Under torchrun, several processes or GPUs share each batch.
    """
    if run_file:
        run = read_run(run_file)
    else:
        config = load_config({"preset": preset})
        run = run_of(config, _experiment(dataset), debias, seed)
    watched = [n for n in (print_every, sample_every) if n]
    training = {
        "iterations": num_iterations,
        "batch_size": batch_size,
        "lr": lr,
        "real": real,
        "checkpoint_every": checkpoint_every,
        "snapshot_every": math.gcd(*watched) if watched else None,
    }
    over = {"training": {k: v for k, v in training.items() if v is not None}}
    if T is not None:
        over["sde"] = {"T": T}
    run = validate(Run, merge(run.model_dump(), over))
    out = out or saveroot / (expname or f"{run.experiment}-debias-{debias}-seed-{seed}")
    state = (state or out / "state") / f"{run.key}-{code_hash('train')}"

    from vdiff.parallel import join
    from vdiff.train import train as train_run
    from vdiff.train import write_tables

    with join(_noted(choose(device))) as workers:
        with workers.first_before_others():
            data = _load(run.dataset, data_root)
        monitor = None
        if watched and workers.first:
            from vdiff.monitor import TensorBoard

            content = {"probe": vtype, "batch_size": test_batch_size}
            monitor = TensorBoard(
                run, data, out, validate(Evaluation, content), print_every,
                validate(Sampling, {"steps": num_steps}), sample_every, workers.device,
            )  # fmt: skip
        rows, snapshots = train_run(run, data, state, workers, monitor, slice_minutes)
        if not workers.first:
            return
    write_tables(out, rows, snapshots)
    if not run_file:
        write_json(out / "run.json", run.model_dump())
    log.info("Trained; the tables are %s and %s.", out / "train.csv", out / "snapshots.csv")


def _experiment(dataset: str) -> str:
    """The published command says cifar for CIFAR-10."""
    return "cifar10" if dataset == "cifar" else dataset


@main.command("import-weights")
@click.argument("file", type=PATH)
@click.option("--preset", default="paper", help="Where --dataset is looked up.")
@click.option("--dataset", default="mnist", help="An experiment of the preset; cifar is cifar10.")
@click.option("--debias", type=bool, default=False, help="How the weights were trained.")
@click.option("--iteration", type=click.IntRange(0), default=0, help="For how many steps.")
@click.option("--out", type=PATH, required=True, help="Folder for run.json and snapshots.csv.")
@ROOT
def import_weights(file, preset, dataset, debias, iteration, out, data_root):
    """Take over weights of the published code, to evaluate and sample them by vdiff.

    FILE holds a state_dict of its U-Net or of its reverse SDE; pickled modules are refused.
    """
    from vdiff.checkpoint import load_weights
    from vdiff.data import SHAPES
    from vdiff.nets.published import from_published
    from vdiff.train import network_of, write_snapshot, write_tables

    run = run_of(load_config({"preset": preset}), _experiment(dataset), debias, 0)
    if run.network.kind != "unet" or run.dataset not in SHAPES:
        raise VdiffError(
            f"The dataset is {dataset!r}; weights of the published code are of "
            f"{' or '.join(SHAPES)}."
        )
    shape = SHAPES[run.dataset]
    weights = from_published(network_of(run, shape), load_weights(file))
    who = {"experiment": run.experiment, "debias": debias, "seed": 0, "iteration": iteration}
    row = write_snapshot(out, iteration, weights, shape)
    write_tables(out, [], [{**who, **row}])
    write_json(out / "run.json", run.model_dump())
    log.info(
        "Imported; evaluate by --run %s --snapshots %s.", out / "run.json", out / "snapshots.csv"
    )


def _load(dataset: str, data_root: Path):
    """The data, its checksum noted for the record."""
    from vdiff.data import load

    data = load(dataset, data_root)
    click.get_current_context().find_root().obj["data"] = {dataset: data.checksum()}
    return data


def _noted(device: str) -> str:
    """The device, its name noted for the record."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    click.get_current_context().find_root().obj["device"] = name
    return device


class Trained:
    """What a step after training needs: the run, its data, its SDE and its drift by iteration."""

    def __init__(self, run_file: Path, data_root: Path, device: str):
        from vdiff.train import network_of, sde_of

        self.run = read_run(run_file)
        self.data = _load(self.run.dataset, data_root)
        self.device = _noted(choose(device))
        self.sde = sde_of(self.run)
        self.network = place(network_of(self.run, self.data.shape), self.device).eval()
        self.who = {k: getattr(self.run, k) for k in ("experiment", "debias", "seed")}

    def last_drift(self, snapshots: Path):
        """The drift a of the last row of a snapshots.csv."""
        return self.drift(next(read_csv(snapshots, "snapshots").tail(1).itertuples()))

    def drift(self, snapshot):
        """The drift a of one row of snapshots.csv."""
        from vdiff.checkpoint import load_weights
        from vdiff.reverse import drift_of
        from vdiff.train import shape_name

        if str(snapshot.shape) != shape_name(self.data.shape):
            raise VdiffError(
                f"{snapshot.path} was trained on data of shape {snapshot.shape}, but "
                f"{self.run.dataset} has shape {shape_name(self.data.shape)}."
            )
        weights = load_weights(Path(snapshot.path), snapshot.sha256)
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise VdiffError(
                f"{snapshot.path} does not fit the network for {self.run.dataset} "
                f"of shape {self.data.shape}: {detail}"
            ) from None
        return drift_of(self.network, self.sde, self.run.network.parameterisation)


RUN = click.option("--run", "run_file", type=PATH, required=True, help="The run file (JSON).")
SNAPSHOTS = click.option("--snapshots", type=PATH, required=True, help="Its snapshots.csv.")


@main.command()
@RUN
@SNAPSHOTS
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option("--per-image", type=PATH, help="Also write bits/dim per image and pass (NPZ).")
@click.option(
    "--estimator",
    "estimators",
    type=click.Choice(["published", "efficient"]),
    multiple=True,
    default=["published"],
    help="Repeatable: the paper's estimator, the efficient one, or both.",
)
@click.option("--images", type=int, help="Use only the first test images.")
@click.option("--passes", type=int, default=2, help="Passes of the efficient estimator.")
@click.option("--pilot", type=int, default=2048, help="Training draws that fit it.")
@click.option("--target-se", type=float, help="Or passes until this Monte-Carlo error, bits/dim.")
@click.option("--probe", default="rademacher", help="Hutchinson probe: rademacher or gaussian.")
@click.option(
    "--batch-size", type=int, default=256, help="Images at once; no result depends on it."
)
@click.option("--precision", default="float32", help=f"One of {', '.join(PRECISIONS)}.")
@click.option("--last", is_flag=True, help="Only the last snapshot.")
@ROOT
@DEVICE
def evaluate(
    run_file, snapshots, out, per_image, estimators, images, passes, pilot, target_se, probe,
    batch_size, precision, last, data_root, device,
):  # fmt: skip
    """Bits/dim on the test set, with standard errors, for every snapshot of a run."""
    from vdiff.evaluate import TestSet, reference_of, row_of
    from vdiff.evaluate import evaluate as evaluate_drift
    from vdiff.progress import bar

    settings = validate(
        Evaluation,
        {
            "estimators": list(estimators),
            "images": images,
            "passes": passes,
            "pilot": pilot,
            "target_se": target_se,
            "probe": probe,
            "batch_size": batch_size,
            "precision": precision,
        },
    )
    trained = Trained(run_file, data_root, device)
    table = read_csv(snapshots, "snapshots")
    table = table.tail(1) if last else table
    test = TestSet(trained.data, trained.run.training.real, settings.images)
    reference = None
    if "efficient" in settings.estimators:
        reference = reference_of(trained.sde, test)
    rows, arrays = [], {}
    name = "evaluate {experiment} debias={debias} seed={seed}".format(**trained.who)
    with bar(len(table) * len(settings.estimators), name, unit="eval") as progress:
        for snapshot in table.itertuples():
            a = trained.drift(snapshot)
            for estimator in settings.estimators:
                z, u, calls = evaluate_drift(
                    trained.sde,
                    a,
                    test,
                    settings,
                    estimator,
                    reference,
                    trained.run.sde.eps_t,
                    trained.device,
                )
                row = row_of(z, u, calls)
                rows.append(
                    {
                        **trained.who,
                        "estimator": estimator,
                        "iteration": snapshot.iteration,
                        **row,
                    }
                )
                arrays[f"{estimator}_{snapshot.iteration:08d}"] = z.astype("float32")
                if u is not None and len(u) > len(arrays.get("u", ())):
                    arrays["u"] = u  # of pass k the same for every network
                progress.set_postfix_str(f"bpd={row['bpd']:.3f}", refresh=False)
                progress.update()
    if per_image:
        write_npz(per_image, **arrays)
    write_csv(out, rows, "evaluation")
    final = rows[-1]
    log.info(
        "%s: %.4f bits/dim, standard error %.4f, Monte-Carlo part %.4f, %d network evaluations.",
        final["estimator"],
        final["bpd"],
        final["bpd_std_err"],
        final["se_mc"],
        final["network_evaluations"],
    )


@main.command()
@RUN
@SNAPSHOTS
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option("--images", type=int, default=64, help="Use only the first test images.")
@click.option("--tolerance", type=float, default=1e-4, help="rtol and atol of the solver.")
@click.option("--batch-size", type=int, default=64, help="Images at once.")
@ROOT
@DEVICE
def likelihood(run_file, snapshots, out, images, tolerance, batch_size, data_root, device):
    """The exact likelihood of the probability-flow ODE beside the ELBO, for the last snapshot."""
    from vdiff.evaluate import TestSet
    from vdiff.evaluate import evaluate as evaluate_drift
    from vdiff.likelihood import likelihood_row

    content = {"images": images, "tolerance": tolerance, "batch_size": batch_size}
    settings = validate(ODE, content)
    trained = Trained(run_file, data_root, device)
    test = TestSet(trained.data, trained.run.training.real, settings.images)
    last = next(read_csv(snapshots, "snapshots").tail(1).itertuples())
    a = trained.drift(last)
    elbo = validate(Evaluation, {"passes": 16, "batch_size": batch_size})
    z, _, _ = evaluate_drift(
        trained.sde, a, test, elbo, "efficient", None, trained.run.sde.eps_t, trained.device
    )
    name = "likelihood {experiment} debias={debias} seed={seed}".format(**trained.who)
    row = likelihood_row(trained.sde, a, test, settings, z, trained.device, name)
    write_csv(out, [{**trained.who, "iteration": last.iteration, **row}], "likelihood")
    log.info(
        "ODE: %.4f bits/dim (%.4f from a looser tolerance), ELBO: %.4f, %d network evaluations.",
        row["bpd_ode"],
        row["change"],
        row["bpd_elbo"],
        row["evaluations"],
    )


@main.command()
@RUN
@SNAPSHOTS
@click.option("--time", "time_table", type=PATH, required=True, help="The CSV of time to write.")
@click.option("--gradient", type=PATH, required=True, help="The CSV of gradients to write.")
@click.option("--draws", type=int, default=20_000, help="Draws of each ELBO estimator.")
@click.option("--batches", type=int, default=400, help="Batches of each training gradient.")
@click.option("--batch-size", type=int, default=64, help="Examples of a training batch.")
@ROOT
@DEVICE
def variance(
    run_file, snapshots, time_table, gradient, draws, batches, batch_size, data_root, device
):
    """Where in time each ELBO estimator has its variance; bias and variance of the gradients."""
    from vdiff.evaluate import TestSet, reference_of
    from vdiff.variance import gradient_rows, variance_in_time

    content = {"draws": draws, "batches": batches, "batch_size": batch_size}
    settings = validate(Variance, content)
    trained = Trained(run_file, data_root, device)
    test = TestSet(trained.data, trained.run.training.real)
    table = read_csv(snapshots, "snapshots")
    d, seed, eps_t = test.examples[0].numel(), trained.run.seed, trained.run.sde.eps_t
    name = "{experiment} debias={debias} seed={seed}".format(**trained.who)
    gradients = []
    # After the first interval, while the gradient is large, and at the end.
    for snapshot in table.iloc[sorted({min(1, len(table) - 1), len(table) - 1})].itertuples():
        a = trained.drift(snapshot)
        found = gradient_rows(
            trained.sde, trained.network, a, test.draw, settings.batches, settings.batch_size,
            seed, eps_t, f"gradient {name} at {snapshot.iteration}",
        )  # fmt: skip
        gradients += [{"iteration": snapshot.iteration, **row} for row in found]
    rows = variance_in_time(
        trained.sde, a, test.draw, reference_of(trained.sde, test), 1 / (d * math.log(2)),
        settings.draws, 2048, seed, eps_t,
    )  # fmt: skip
    write_csv(time_table, [{**trained.who, **row} for row in rows], "variance_time")
    write_csv(gradient, [{**trained.who, **row} for row in gradients], "gradient")


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
    settings = validate(Trajectory, _json(settings))
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

    settings = validate(Distances, _json(settings))
    trained = Trained(run_file, data_root, device)
    if trained.data.shape != (2,):
        raise VdiffError(f"{trained.run.dataset} is not in the plane; distances needs 2 dims.")
    if source == "exact":
        mixture = Mixture.spiral(trained.sde)
        a, draw = mixture.a, mixture.draw
    else:
        a, draw = in_float64(trained.last_drift(snapshots)), trained.data.draw
    name = f"distances {source}"
    rows = distance_rows(trained.sde, a, draw, settings, trained.run.seed, name)
    rows = [{**trained.who, "source": source, **row} for row in rows]
    write_csv(out, rows, "distances")


@main.command()
@click.argument("minuend", type=PATH)
@click.argument("subtrahend", type=PATH)
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option("--experiment", required=True, help="Its name, for the table.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Its seed, for the table.")
def difference(minuend, subtrahend, out, experiment, seed):
    """Bits/dim of MINUEND less SUBTRAHEND, per-image NPZ files of `vdiff evaluate`.

    Both share their images and noise, so the difference is sharper than either of them.
    """
    from vdiff.aggregate import paired_differences

    rows = paired_differences(read_npz(minuend), read_npz(subtrahend))
    write_csv(out, [{"experiment": experiment, "seed": seed, **row} for row in rows], "differences")


@main.command()
@click.argument(
    "schema", type=click.Choice([name for name in SCHEMAS if name not in ("snapshots", "curves")])
)
@click.argument("tables", nargs=-1, type=PATH, required=True)
@click.option("--out", type=PATH, required=True, help="The CSV of all rows.")
@click.option("--curves", type=PATH, help="For evaluation: also the mean over seeds (CSV).")
def aggregate(schema, tables, out, curves):
    """Gather TABLES of one schema into one CSV."""
    from vdiff.aggregate import mean_curves
    from vdiff.tidy import concatenate

    frame = concatenate(tables, schema)
    write_csv(out, frame, schema)
    if curves:
        if schema != "evaluation":
            raise VdiffError("--curves needs tables of the schema evaluation.")
        write_csv(curves, mean_curves(frame), "curves")


@main.command()
@click.argument(
    "figure",
    type=click.Choice(FIGURES),
)
@click.argument("inputs", nargs=-1, type=PATH, required=True)
@click.option("--out", type=PATH, multiple=True, required=True, help="PNG, SVG or PDF; repeatable.")
@click.option("--dark", type=PATH, multiple=True, help="The same for a dark page; repeatable.")
@click.option("--experiment", help="The experiment to show, where the input has several.")
@click.option("--columns", help="Steps to show, comma-separated (lambda figures).")
@click.option("--lmbds", help="Rows to show, comma-separated (lambda figures).")
@click.option("--published", type=PATH, help="For bpd: published curves to overlay (CSV).")
def plot(figure, inputs, out, dark, experiment, columns, lmbds, published):
    """Draw FIGURE from tidy INPUTS (CSV or NPZ); no torch needed."""
    from vdiff.figures import draw

    options = {"experiment": experiment, "published_curves": published}
    if columns:
        options["columns"] = [int(i) for i in columns.split(",")]
    if lmbds:
        options["lmbds"] = [float(v) for v in lmbds.split(",")]
    draw(figure, inputs, out, dark, **{k: v for k, v in options.items() if v is not None})


@main.command()
@click.argument("kind", type=click.Choice(["points", "images"]))
@click.argument("inputs", nargs=-1, type=PATH, required=True)
@click.option("--out", type=PATH, multiple=True, required=True, help="GIF or WebP; repeatable.")
@click.option("--fps", type=click.IntRange(1, 60), default=12, help="Frames a second.")
def animate(kind, inputs, out, fps):
    """A moving picture of sampling from INPUTS side by side: NPZ files with frames.

    points takes files of `vdiff trajectory`, images those of `vdiff sample`.
    """
    from vdiff.figures.animation import animate as draw_animation

    draw_animation(kind, inputs, out, fps)


@main.command()
@click.argument("results", type=PATH)
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option("--json", "json_file", type=PATH, help="Also the same as JSON.")
def claims(results, out, json_file):
    """Test the paper's claims on the tables of a RESULTS folder, such as results/demo."""
    from vdiff.claims import judge

    rows = judge(results)
    if not rows:
        raise VdiffError(f"{results} holds no table that a claim is tested on.")
    write_csv(out, rows, "claims")
    if json_file:
        write_json(json_file, {"claims": read_csv(out, "claims").astype(object).to_dict("records")})
    for row in rows:
        log.info("%s (%s): %s.", row["claim"], row["experiment"], row["verdict"])


@main.command()
@click.argument("results", type=PATH)
@click.option("--captions", type=PATH, required=True, help="Folder of captions, one RST a kind.")
@click.option("--out", type=PATH, required=True, help="The HTML page to write.")
def report(results, captions, out):
    """One self-contained page from a RESULTS folder with figures, claims.csv and manifest.json."""
    from vdiff.report import write_report

    write_report(results, captions, out)
    log.info("The report is %s.", out)


@main.command()
@click.argument("results", required=False, type=PATH)
@click.option("--config", required=True, help="The configuration, as JSON.")
@click.option("--rules", default="{}", help="Patterns of logs to Snakemake rules, as JSON.")
@click.option("--out", type=PATH, required=True, help="The JSON to write.")
def manifest(results, config, rules, out):
    """Configuration, versions, commit and machine, and what made every file of RESULTS."""
    from vdiff.provenance import manifest as manifest_of

    write_json(out, manifest_of(_json(config), results, _json(rules)))


@main.command()
@click.argument("results", type=PATH)
@click.option("--out", type=PATH, required=True, help="The ZIP file to write.")
def export(results, out):
    """Pack a RESULTS folder, such as results/demo, as an RO-Crate to publish."""
    from vdiff.crate import export as export_crate

    count = export_crate(results, out)
    log.info("%s holds %d files.", out, count)


@main.command()
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@click.option("--figure", type=PATH, multiple=True, help="Also draw it: PNG, SVG or PDF.")
def compare(first, second, out, figure):
    """Paired differences of two results folders, run by run: FIRST less SECOND, bits/dim.

    Runs are matched by experiment, debias and seed; they must share test images.
    """
    from vdiff.aggregate import compare_folders
    from vdiff.figures import draw

    rows = compare_folders(first, second)
    if not rows:
        raise VdiffError(f"{first} and {second} have no evaluated run in common.")
    write_csv(out, rows, "comparison")
    if figure:
        draw("comparison", [out], figure)


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


if __name__ == "__main__":
    main()
