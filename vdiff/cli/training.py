"""configure, train, import-weights, export-weights."""

import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import click

from vdiff.cli.group import FOLDER, OUT, from_json, main, note
from vdiff.cli.options import PATH, ROOT, RUN_FILE, options_of, settings_of, with_device
from vdiff.config import (
    DATASETS,
    Evaluation,
    Run,
    Sampling,
    Training,
    load_config,
    merge,
    read_run,
    run_of,
    validate,
)
from vdiff.errors import VdiffError
from vdiff.files.objects import write_json
from vdiff.machine.devices import Wanted

log = logging.getLogger("vdiff")


@main.command()
@click.argument("run")
@click.option("--out", type=OUT, required=True, help="The run file to write (JSON).")
def configure(run: str, out: Path) -> None:
    """Validate RUN, a run configuration as JSON text, and write it to a file."""
    write_json(out, validate(Run, from_json(run)).model_dump())


@main.command()
@click.option("--run", "run_file", type=RUN_FILE, help="A run file of `vdiff configure`.")
@click.option("--preset", default="paper", help="Where --dataset is looked up without --run.")
@click.option("--dataset", default="mnist", help="An experiment of the preset; cifar is cifar10.")
@click.option("--debias", type=bool, default=False, help="The arm debias-True or debias-False.")
@click.option("--arm", help="Another arm of the experiment, by its name.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights, data order and noise.")
@options_of(Training, aliases={"iterations": "--num-iterations"})
@click.option("--T0", "--t0", "T", type=float, help="Override sde.T.")
@click.option(
    "--print-every", type=click.IntRange(1), help="Evaluate on the test set every N iterations."
)
@click.option("--sample-every", type=click.IntRange(1), help="Draw 16 samples every N iterations.")
@click.option("--num-steps", type=click.IntRange(1), default=1000, help="Steps of a sample.")
@click.option("--vtype", default="rademacher", help="Probe of --print-every, or gaussian.")
@click.option("--test-batch-size", type=int, default=256, help="Test images at once.")
@click.option("--saveroot", type=PATH, default=Path("results/byhand"), help="Parent of --expname.")
@click.option("--expname", help="Folder of the results; by default named after the run.")
@click.option("--out", type=FOLDER, help="Folder of the results, instead of --saveroot/--expname.")
@click.option("--state", type=FOLDER, help="Folder of the training state; by default OUT/state.")
@click.option(
    "--slice-minutes",
    type=click.FloatRange(0, min_open=True),
    help="After N minutes, save and exit with code 1.",
)
@click.option("--until", type=click.IntRange(1), help="Stop after that iteration; needs --into.")
@click.option("--into", type=FOLDER, help="A folder for the state of --until, instead of results.")
@click.option("--after", type=PATH, help="Go on from a folder that --into made elsewhere.")
@ROOT
@with_device
def train(
    run_file: Path | None, saveroot: Path, expname: str | None, out: Path | None,
    state: Path | None, slice_minutes: float | None, until: int | None, into: Path | None,
    after: Path | None, data_root: Path, device: Wanted, **given: Any,
) -> None:  # fmt: skip
    """Train one network by score matching; resumes from its state folder.

    Writes train.csv and snapshots.csv. A stopped or killed run, started again, resumes where it
    stopped and ends with the same bytes. With --print-every or --sample-every, test bits/dim
    (also in evaluation.csv), the loss and sample images go to TensorBoard files in the same
    folder. Under torchrun, several processes or GPUs share each batch. With --until and --into it
    is one part of a training, which --after takes up, on another machine if need be.
    """
    if (until is None) != (into is None):
        raise VdiffError("The options --until and --into go together; give both or neither.")
    run = _run(run_file, given)
    watching = _watching(given)
    name = expname or f"{run.experiment}-{run.arm}-seed-{run.seed}"
    out = out or FOLDER.convert(saveroot / name, None, None)
    if "torch" not in sys.modules:
        log.info("Loading torch, which takes some seconds ...")

    from vdiff.training.job import Part, train_to

    monitor = None
    if watching:
        from vdiff.steps.monitor import TensorBoard

        def monitor(run, data, accelerator):
            return TensorBoard(run, data, out, accelerator, *watching)

    part = Part(slice_minutes, until, into, after)
    note(**train_to(out, run, run_file, data_root, device, state or out / "state", part, monitor))


def _run(run_file: Path | None, given: dict) -> Run:
    """The run that the options of train ask for."""
    if run_file:
        run = read_run(run_file)
    else:
        arm = given["arm"] or f"debias-{given['debias']}"
        config = load_config({"preset": given["preset"]})
        run = run_of(config, _experiment(given["dataset"]), arm, given["seed"])
    watched = [n for n in (given["print_every"], given["sample_every"]) if n]
    over = settings_of(Training, given).model_dump(exclude_unset=True)
    if watched:
        over["snapshot_every"] = math.gcd(*watched)
    sde = {"T": given["T"]} if given["T"] is not None else {}
    return validate(Run, merge(run.model_dump(), {"training": over, "sde": sde}))


def _watching(given: dict) -> tuple[tuple, tuple] | None:
    """What a monitor evaluates and samples, and how often; None when nothing is asked for."""
    if not (given["print_every"] or given["sample_every"]):
        return None
    content = {"probe": given["vtype"], "batch_size": given["test_batch_size"]}
    evaluation = validate(Evaluation, content)
    sampling = validate(Sampling, {"steps": given["num_steps"]})
    return (evaluation, given["print_every"]), (sampling, given["sample_every"])


def _experiment(dataset: str) -> str:
    """The authors' command says cifar for CIFAR-10."""
    return "cifar10" if dataset == "cifar" else dataset


@main.command("import-weights")
@click.argument("file", type=PATH)
@click.option("--preset", default="paper", help="Where --dataset is looked up.")
@click.option("--dataset", default="mnist", help="An experiment of the preset; cifar is cifar10.")
@click.option("--debias", type=bool, default=False, help="How the weights were trained.")
@click.option("--iteration", type=click.IntRange(0), default=0, help="For how many steps.")
@click.option("--out", type=FOLDER, required=True, help="Folder for run.json and snapshots.csv.")
@ROOT
def import_weights(
    file: Path, preset: str, dataset: str, debias: bool, iteration: int, out: Path, data_root: Path
) -> None:
    """Take over weights of the authors' code, to evaluate and sample them by vdiff.

    FILE holds a state_dict of its U-Net or of its reverse SDE; pickled modules are refused.
    """
    from vdiff.files.fingerprint import fingerprint
    from vdiff.files.snapshots import write_table
    from vdiff.files.tidy import write_csv
    from vdiff.files.weights import load_weights, write_snapshot
    from vdiff.nets.authors import from_authors, horizon_of
    from vdiff.nets.unet import UNet
    from vdiff.trained import network_of

    config = load_config({"preset": preset})
    run = run_of(config, _experiment(dataset), f"debias-{debias}", 0)
    if run.network.kind != "unet" or run.dataset not in DATASETS:
        images = ", ".join(name for name, shape in DATASETS.items() if len(shape) == 3)
        raise VdiffError(
            f"The dataset is {dataset!r}; weights of the authors' code are of {images}."
        )
    theirs = load_weights(file)
    run = validate(Run, merge(run.model_dump(), {"sde": {"T": horizon_of(theirs, run.sde.T)}}))
    shape = DATASETS[run.dataset]
    network = network_of(run, shape)
    assert isinstance(network, UNet)
    weights = from_authors(network, theirs)
    snapshot = write_snapshot(out, iteration, weights, shape)
    held = fingerprint(run.dataset, data_root)
    write_csv(out / "train.csv", [], "train")
    write_table(out / "snapshots.csv", run.who, [snapshot], held.images)
    write_json(out / "run.json", json.loads(run.model_dump_json()))
    log.info("Imported; evaluate by --run %s.", out)


@main.command("export-weights")
@click.argument("folder", type=PATH)
@click.option("--bfloat16", is_flag=True, help="Half as large, and rounded.")
@click.option("--out", type=OUT, required=True, help="The file NAME.safetensors to write.")
@ROOT
def export_weights(folder: Path, bfloat16: bool, out: Path, data_root: Path) -> None:
    """Write the last weights of the run FOLDER to one file that needs no data, for vdiff.load."""
    import torch

    from vdiff.files.weights import ENDING
    from vdiff.pretrained import write_pretrained
    from vdiff.steps.opening import open_model

    if out.suffix != ENDING:
        raise VdiffError(f"--out is {out}; its name must end in {ENDING}.")
    model = open_model(read_run(folder / "run.json"), folder / "snapshots.csv", data_root)
    last = model.snapshots[-1]
    kept_in = torch.bfloat16 if bfloat16 else torch.float32
    write_pretrained(out, model, last.weights(), last.iteration, kept_in, last.precision)
    log.info("%s, %.1f MB.", out, out.stat().st_size / 1e6)
