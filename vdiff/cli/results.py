"""A results folder as a whole: its configuration, manifest, report and archive. No torch."""

import json
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from vdiff.cli.group import FOLDER, OUT, PATH, from_json, main
from vdiff.cli.options import ROOT
from vdiff.errors import VdiffError
from vdiff.files.objects import write_json

log = logging.getLogger("vdiff")


@main.command()
@click.argument("config", type=PATH)
@click.option("--out", type=OUT, required=True, help="The JSON to write.")
def describe(config: Path, out: Path) -> None:
    """Write CONFIG, a whole configuration (JSON), to config.json of a results folder."""
    from vdiff.report.contents import described, read_described

    write_json(out, described(read_described(config)))


@main.command()
@click.argument("results", type=PATH)
@click.option("--rules", default="{}", help="Patterns of logs to Snakemake rules, as JSON.")
@click.option("--out", type=OUT, required=True, help="The JSON to write.")
def manifest(results: Path, rules: str, out: Path) -> None:
    """Write down configuration, versions, commit, machine, and what made each file of RESULTS."""
    from vdiff.config.specs import SPECS
    from vdiff.files.manifest import manifest as manifest_of
    from vdiff.report.contents import described, files, read_config

    config = read_config(results)
    steps = ["training.loop", *(f"steps.{name}" for name in SPECS), "stats.controls"]
    names = files(config)
    write_json(out, manifest_of(described(config), results, names, steps, from_json(rules)))


@main.command()
@click.argument("results", type=PATH)
@click.argument("kept", type=FOLDER)
def keep(results: Path, kept: Path) -> None:
    """Copy into the folder KEPT what the report of a finished RESULTS folder is made from.

    Tables, claims, arrays that figures read, pictures (PNG) and the manifest; no weights. `vdiff
    report KEPT` makes the rest again.
    """
    from vdiff.files.atomic import write_bytes
    from vdiff.report.contents import kept_files, read_config

    names = kept_files(read_config(results))
    contents = {}
    for name in names:
        try:
            contents[name] = (results / name).read_bytes()
        except OSError as error:
            raise VdiffError(f"{results / name} cannot be read: {error.strerror}.") from None
    for name, content in contents.items():
        write_bytes(kept / name, content)
    size = sum(map(len, contents.values())) / 1e6
    log.info("%d files, %.1f MB, are in %s.", len(contents), size, kept)


@main.command()
@click.argument("results", type=PATH)
@click.option("--out", type=OUT, help="The HTML page to write; by default RESULTS/report.html.")
@click.option("--page-only", is_flag=True, help="Take the figures as they are.")
def report(results: Path, out: Path | None, page_only: bool) -> None:
    """Draw every figure of RESULTS and write one self-contained page; no torch needed.

    RESULTS is a folder with config.json, tables, claims.csv and manifest.json: of a finished run,
    a kept one, or the files of an unpacked crate. Says which figures differ from the manifest's.
    """
    from vdiff.files.provenance import write_provenance
    from vdiff.report.asked import of_page
    from vdiff.report.contents import figures, read_config, strangers
    from vdiff.report.page import write_report
    from vdiff.report.redraw import redraw

    out = out or OUT.convert(results / "report.html", None, None)
    drawn = results
    if page_only:
        pictures = [name for name in figures(read_config(results)) if name.endswith(".png")]
        lacking = [name for name in pictures if not (results / name).is_file()]
        if lacking:
            raise VdiffError(
                f"{results / lacking[0]} is not there; leave out --page-only to have it drawn."
            )
    else:
        if not os.access(results, os.W_OK):  # such as an archive: the figures go beside the page
            drawn = out.parent
        same, changed = redraw(results, drawn)
        log.info(
            "%d pictures are drawn, %d of them as the manifest has them; PDFs are not compared.",
            same + len(changed), same,
        )  # fmt: skip
        for name in changed:
            log.warning("%s is not as the manifest has it.", name)
    write_report(results, out, drawn)
    if page_only:
        write_provenance(out, of_page(results))
    log.info("The report is %s.", out)
    foreign = [path for path in strangers(results, read_config(results)) if path != out]
    if foreign:
        log.info(
            "%d files in %s are not of its configuration and left out (vdiff clean lists them).",
            len(foreign), results,
        )  # fmt: skip


@main.command()
@click.argument("results", type=PATH)
@click.option("--delete", is_flag=True, help="Delete them, instead of only listing them.")
def clean(results: Path, delete: bool) -> None:
    """List the files of RESULTS that its configuration does not ask for: those of earlier ones."""
    from vdiff.report.contents import read_config, strangers

    others = strangers(results, read_config(results))
    for path in others:
        click.echo(path)
        if delete:
            path.unlink()
    log.info("%d files %s.", len(others), "deleted" if delete else "would be deleted by --delete")


@main.command()
@click.argument("results", type=PATH)
@click.option("--out", type=OUT, required=True, help="The ZIP file to write.")
@click.option(
    "--author", "authors", multiple=True, metavar='"NAME [ORCID]"',
    help="Who ran it, with the address of an ORCID or without; may be repeated.",
)  # fmt: skip
@click.option("--weights", is_flag=True, help="With the last weights of every run.")
@ROOT
def export(
    results: Path, out: Path, authors: tuple[str, ...], weights: bool, data_root: Path
) -> None:
    """Pack a RESULTS folder, such as results/demo, as a Provenance Run Crate to publish."""
    from vdiff.files.crate import export as export_crate

    with TemporaryDirectory() as folder:
        files = _weights(results, Path(folder), data_root) if weights else []
        count = export_crate(results, out, authors, files)
    log.info("%s holds %d files.", out, count)


def _weights(results: Path, folder: Path, data_root: Path) -> list[Path]:
    """A file EXPERIMENT-ARM-SEED.safetensors for every run."""
    from vdiff.config import read_run
    from vdiff.files.weights import ENDING
    from vdiff.pretrained import write_pretrained
    from vdiff.steps.opening import open_model

    paths = []
    for path in sorted(results.glob("runs/*/*/*/snapshots.csv")):
        model = open_model(read_run(path.parent / "run.json"), path, data_root)
        last = model.snapshots[-1]
        paths.append(folder / f"{'-'.join(path.parts[-4:-1])}{ENDING}")
        write_pretrained(paths[-1], model, last.weights(), last.iteration, precision=last.precision)
    return paths


@main.command()
@click.argument("preset", required=False)
def presets(preset: str | None) -> None:
    """List the presets, or show PRESET in full with its defaults filled in."""
    from vdiff.config import load_config, preset_names

    if preset is None:
        click.echo("\n".join(preset_names()))
        return
    click.echo(json.dumps(load_config({"preset": preset}).model_dump(), indent=2))
