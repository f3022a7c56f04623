"""From tables to figures and claims: no torch needed."""

import logging
from collections.abc import Sequence
from pathlib import Path

import click

from vdiff.cli.group import OUT, PATH, main
from vdiff.errors import VdiffError
from vdiff.figures.registry import FIGURES, FPS
from vdiff.files.objects import write_json
from vdiff.files.schemas import GATHERED

log = logging.getLogger("vdiff")
STILL = [figure.name for figure in FIGURES.values() if not figure.moving]


@main.command()
@click.argument("schema", type=click.Choice(GATHERED))
@click.argument("tables", nargs=-1, type=PATH)
@click.option("--of", "results", type=PATH, help="Instead of TABLES: all of a results folder.")
@click.option("--config", type=PATH, help="Its configuration, by default its config.json.")
@click.option("--out", type=OUT, required=True, help="The CSV of all rows.")
def aggregate(
    schema: str, tables: Sequence[Path], results: Path | None, config: Path | None, out: Path
) -> None:
    """Gather TABLES of one schema into one CSV."""
    from vdiff.files.asked import of_gathered
    from vdiff.files.layout import parts
    from vdiff.files.provenance import check_alike, write_provenance
    from vdiff.files.tidy import concatenate, write_csv
    from vdiff.report.contents import read_described

    if results and not tables:
        names = parts(read_described(config or results / "config.json")).get(schema, [])
        tables = [results / name for name in names]
    if not tables:
        raise VdiffError(f"There is no table {schema} to gather: name TABLES, or a folder by --of.")
    check_alike(tables)
    write_csv(out, concatenate(tables, schema), schema)
    write_provenance(out, of_gathered(schema, tables))


@main.command()
@click.argument("evaluation", type=PATH)
@click.option("--out", type=OUT, required=True, help="The CSV of curves to write.")
def curves(evaluation: Path, out: Path) -> None:
    """Take means over seeds of a gathered EVALUATION table."""
    from vdiff.files.asked import of_curves
    from vdiff.files.provenance import read_provenance, write_provenance
    from vdiff.files.tidy import read_csv, write_csv
    from vdiff.stats.aggregate import mean_curves

    read_provenance(evaluation)
    write_csv(out, mean_curves(read_csv(evaluation, "evaluation")), "curves")
    write_provenance(out, of_curves(evaluation))


@main.command()
@click.argument("figure", type=click.Choice(STILL))
@click.argument("inputs", nargs=-1, type=PATH)
@click.option("--out", type=OUT, multiple=True, required=True, help="PNG, SVG or PDF; repeatable.")
@click.option("--dark", type=OUT, multiple=True, help="The same for a dark page; repeatable.")
@click.option("--experiment", help="The experiment to show, where the input has several.")
@click.option("--columns", help="Steps to show, comma-separated (lambda figures).")
@click.option("--lmbds", help="Rows to show, comma-separated (lambda figures).")
@click.option("--titles", help="Arms of the inputs, comma-separated (samples).")
@click.option("--beside", help="For examples: draw what was published on that data set.")
def plot(figure, inputs, out, dark, experiment, columns, lmbds, titles, beside) -> None:
    """Draw FIGURE from tidy INPUTS (CSV or NPZ); no torch needed."""
    from vdiff.figures.draw import draw
    from vdiff.files.provenance import check_alike, write_provenance
    from vdiff.report.asked import of_figure

    options = {"experiment": experiment, "beside": beside}
    if columns:
        options["columns"] = _numbers("columns", columns, int)
    if lmbds:
        options["lmbds"] = _numbers("lmbds", lmbds, float)
    if titles:
        options["titles"] = titles.split(",")
    options = {k: v for k, v in options.items() if v is not None}
    check_alike(inputs)
    draw(figure, inputs, out, dark, **options)
    asked = of_figure(FIGURES[figure], options, inputs)
    for path in (*out, *dark):
        write_provenance(path, asked)


def _numbers(option: str, text: str, kind: type) -> list:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise VdiffError(
            f"The option --{option} is {text!r}; it must be numbers with commas between them."
        ) from None


@main.command()
@click.argument("inputs", nargs=-1, type=PATH, required=True)
@click.option("--out", type=OUT, multiple=True, required=True, help="GIF or WebP; repeatable.")
@click.option("--fps", type=click.IntRange(1, 60), default=FPS, help="Frames a second.")
def animate(inputs: list[Path], out: list[Path], fps: int) -> None:
    """Draw a moving picture of sampling from INPUTS side by side: NPZ files with frames.

    INPUTS are files of `vdiff trajectory` or of `vdiff sample`.
    """
    from vdiff.figures.animation import animate as draw_animation
    from vdiff.files.provenance import check_alike, write_provenance
    from vdiff.report.asked import of_figure

    check_alike(inputs)
    draw_animation(inputs, out, fps)
    asked = of_figure(FIGURES["lambda"], {"fps": fps}, inputs)
    for path in out:
        write_provenance(path, asked)


@main.command()
@click.argument("results", type=PATH)
@click.option("--out", type=OUT, required=True, help="The CSV to write.")
@click.option("--json", "json_file", type=OUT, help="Also the same as JSON.")
@click.option("--controls", "controls_file", type=OUT, help="Also the wrong formulas rejected.")
def claims(results: Path, out: Path, json_file: Path | None, controls_file: Path | None) -> None:
    """Test the paper's claims on the tables of a RESULTS folder, such as results/demo.

    Its config.json says which tables and runs count.
    """
    from vdiff.files.layout import parts
    from vdiff.files.provenance import read_provenance, write_provenance
    from vdiff.files.tidy import read_csv, write_csv
    from vdiff.report.asked import of_claims
    from vdiff.report.contents import read_config
    from vdiff.resources import published_curves
    from vdiff.stats.claims import judge, of_pairs
    from vdiff.stats.controls import controls

    config = read_config(results)
    asked = of_claims(results, config)
    for path in asked.inputs:
        read_provenance(path)
    tables = {schema: read_csv(results / f"{schema}.csv", schema) for schema in parts(config)}
    pairs = {name: e.claimed for name, e in config.experiments.items()}
    for schema in {"differences", "quality"} & set(tables):
        tables[schema] = of_pairs(tables[schema], pairs)
    rows = judge({**tables, "published": published_curves()})
    write_csv(out, rows, "claims")
    write_provenance(out, asked)
    if json_file:
        write_json(json_file, {"claims": read_csv(out, "claims").astype(object).to_dict("records")})
        write_provenance(json_file, asked)
    if controls_file:
        write_csv(controls_file, controls(tables), "controls")
        write_provenance(controls_file, asked)
    for row in rows:
        log.info("%s (%s): %s.", row["claim"], row["experiment"], row["verdict"])


@main.command()
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.option("--out", type=OUT, required=True, help="The CSV to write.")
@click.option("--figure", type=OUT, multiple=True, help="Also draw it: PNG, SVG or PDF.")
def compare(first: Path, second: Path, out: Path, figure: list[Path]) -> None:
    """Compare two results folders run by run: paired differences, FIRST minus SECOND, bits/dim.

    Runs are matched by experiment, arm and seed; they must share test images.
    """
    from vdiff.config import read_run
    from vdiff.figures.draw import draw
    from vdiff.files.layout import run_files
    from vdiff.files.provenance import read_provenance
    from vdiff.files.tidy import read_npz, write_csv
    from vdiff.report.contents import read_config
    from vdiff.stats.aggregate import paired_differences

    rows = []
    shared = set(run_files(read_config(second), "per_image.npz"))
    for name in run_files(read_config(first), "per_image.npz"):
        if name in shared and (first / name).exists() and (second / name).exists():
            for folder in (first, second):
                read_provenance(folder / name)
            who = read_run((first / name).with_name("run.json")).who
            differences = paired_differences(read_npz(first / name), read_npz(second / name))
            rows += [{**who, **row} for row in differences]
    if not rows:
        raise VdiffError(f"{first} and {second} have no evaluated run in common.")
    write_csv(out, rows, "comparison")
    if figure:
        draw("comparison", [out], figure)
