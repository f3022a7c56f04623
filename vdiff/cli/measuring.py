"""A command for every step of config/specs, and the difference of two evaluations."""

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from vdiff.cli.group import OUT, doc_of, main, note
from vdiff.cli.options import PATH, ROOT, RUN, SNAPSHOTS, options_of, settings_of, with_device
from vdiff.config import read_run
from vdiff.config.specs import SPECS
from vdiff.config.specs.spec import Spec
from vdiff.errors import VdiffError
from vdiff.machine.devices import Wanted

log = logging.getLogger("vdiff")


def _command(step: Spec) -> click.Command:
    """`vdiff STEP --run FOLDER --out FILE`, with its section's fields as options."""

    def measure(
        run_file: Path, snapshots: Path | None, data_root: Path, device: Wanted, **given: Any
    ) -> None:
        from vdiff.files.asked import of_step
        from vdiff.files.fingerprint import fingerprint
        from vdiff.files.provenance import write_provenance
        from vdiff.files.tidy import write_csv, write_npz

        snapshots = snapshots or run_file.with_name("snapshots.csv")
        settings = settings_of(step.settings, given)
        axis = {step.axis.name: given[step.axis.name]} if step.axis else {}
        model = _opened(step, run_file, snapshots, data_root, device)
        measured = import_module(f"vdiff.steps.{step.name}").measure(model, settings, **axis)
        held = fingerprint(model.run.dataset, data_root)
        asked = of_step(step, model.run, settings, axis, held, [run_file, snapshots])
        for output in step.outputs:
            path, content = given[f"{output.option}_file"], measured.outputs[output.option]
            if path is None:
                continue
            if output.schema:
                rows = [{**model.run.who, **row} for row in content]
                write_csv(path, rows, output.schema)
            else:
                write_npz(path, **content)
            write_provenance(path, asked)
        if measured.message:
            log.info("%s", measured.message)

    command: Any = with_device(ROOT(measure))
    command = options_of(step.settings)(command)
    if step.axis:
        command = click.option(f"--{step.axis.name}", required=True, help=step.axis.help)(command)
    for output in reversed(step.outputs):
        kind = f"CSV of the table {output.schema}" if output.schema else "NPZ of arrays"
        command = click.option(
            f"--{output.option.replace('_', '-')}",
            f"{output.option}_file",
            type=OUT,
            required=output.option == "out",
            help=f"The {kind} to write.",
        )(command)
    return click.command(step.name, help=doc_of(step.settings))(RUN(SNAPSHOTS(command)))


def _opened(step: Spec, run_file: Path, snapshots: Path, data_root: Path, device: Wanted) -> Any:
    """The model, if the step fits its data; its data and device are noted for the receipt."""
    from vdiff.machine.devices import choose, name_of
    from vdiff.steps.opening import open_model

    run = read_run(run_file)
    chosen = choose(device)
    model = open_model(run, snapshots, data_root, chosen)
    note(device=name_of(chosen), data={run.dataset: model.data.checksum()})
    images = len(model.data.shape) == 3
    if step.images is not None and images != step.images:
        has, needs = ("images", "points in the plane")[:: 1 if images else -1]
        raise VdiffError(f"{run.dataset} has {has}, but vdiff {step.name} needs {needs}.")
    return model


for _step in SPECS.values():
    main.add_command(_command(_step))


@main.command()
@click.argument("minuend", type=PATH)
@click.argument("subtrahend", type=PATH)
@click.option("--out", type=OUT, required=True, help="The CSV to write.")
@click.option("--experiment", required=True, help="Its name, for the table.")
@click.option("--first", required=True, help="The arm of MINUEND, for the table.")
@click.option("--second", required=True, help="The arm of SUBTRAHEND, for the table.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Its seed, for the table.")
def difference(minuend, subtrahend, out, experiment, first, second, seed) -> None:
    """Subtract bits/dim: MINUEND minus SUBTRAHEND, per-image NPZ files of `vdiff evaluate`.

    Both share their images and noise, so the difference is sharper than either of them.
    """
    from vdiff.files.asked import of_difference
    from vdiff.files.provenance import read_provenance, write_provenance
    from vdiff.files.tidy import read_npz, write_csv
    from vdiff.stats.aggregate import paired_differences

    who = {"experiment": experiment, "first": first, "second": second, "seed": seed}
    for path in (minuend, subtrahend):
        read_provenance(path)
    rows = paired_differences(read_npz(minuend), read_npz(subtrahend))
    write_csv(out, [{**who, **row} for row in rows], "differences")
    write_provenance(out, of_difference(who, [minuend, subtrahend]))
