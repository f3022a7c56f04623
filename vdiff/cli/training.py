"""configure, train, import-weights."""

import logging
import math
from pathlib import Path

import click

from vdiff.cli.group import DEVICE, PATH, ROOT, from_json, main
from vdiff.cli.trained import load_noted, noted
from vdiff.config import Evaluation, Run, Sampling, load_config, merge, read_run, run_of, validate
from vdiff.devices import choose
from vdiff.errors import VdiffError
from vdiff.provenance import code_hash
from vdiff.tidy import write_json

log = logging.getLogger("vdiff")


@main.command()
@click.argument("run")
@click.option("--out", type=PATH, required=True, help="The run file to write (JSON).")
def configure(run, out):
    """Validate RUN, a run configuration as JSON text, and write it to a file."""
    write_json(out, validate(Run, from_json(run)).model_dump())


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

    with join(noted(choose(device))) as workers:
        with workers.first_before_others():
            data = load_noted(run.dataset, data_root)
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
def import_weights(file, preset, dataset, debias, iteration, out):
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
