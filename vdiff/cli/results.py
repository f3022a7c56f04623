"""From tables to figures, claims, the report and what is published: no torch needed."""

import logging

import click

from vdiff.cli.group import PATH, from_json, main
from vdiff.errors import VdiffError
from vdiff.tidy import SCHEMAS, read_csv, write_csv, write_json

log = logging.getLogger("vdiff")


FIGURES = (
    "bpd", "standard-error", "differences", "samples", "lambda-grid", "lambda-strips", "distances",
    "likelihood", "variance", "loss", "published", "comparison",
)  # fmt: skip


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

    write_json(out, manifest_of(from_json(config), results, from_json(rules)))


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
