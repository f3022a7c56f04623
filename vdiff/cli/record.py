"""Entries for the table of records."""

import logging
import math
import secrets
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import click

from vdiff.cli.group import PATH, main
from vdiff.cli.options import ROOT
from vdiff.errors import VdiffError, first_line

log = logging.getLogger("vdiff")


# Help is given in words, as `python -OO` leaves no docstrings.
@main.group(help="Check records of bits/dim for a budget (docs/record.md).")
def record() -> None:
    """Its commands are below."""


@record.command(
    help="Whether the numbers of CRATE, of `vdiff export --weights`, are those of its weights: "
    "they are evaluated on fresh noise. Says the budget, and the difference to vdiff's own record "
    "in pairs."
)
@click.argument("crate", type=PATH)
@click.option("--data", help="npz:PATH of the data, unless they are where the run found them.")
@click.option("--draws", type=click.IntRange(2), default=4, help="Of the estimator, per image.")
@click.option("--images", type=click.IntRange(2), help="Only so many of the entry's test images.")
@click.option("--seed", type=click.IntRange(0), help="Of the fresh noise; by default a new one.")
@ROOT
def check(
    crate: Path, data: str | None, draws: int, images: int | None, seed: int | None, data_root: Path
) -> None:
    """Raises VdiffError for what is no entry, and for one whose numbers are not its weights'."""
    from vdiff.record import check as checked
    from vdiff.record import entries

    seed = secrets.randbelow(2**31) if seed is None else seed
    wrong = []
    with TemporaryDirectory() as folder:
        if crate.is_dir():
            unpacked = crate
        else:
            unpacked = Path(folder)
            try:
                with ZipFile(crate) as archive:
                    archive.extractall(unpacked)
            except Exception as error:  # damaged files make the parser raise anything
                raise VdiffError(
                    f"{crate} is not a crate; it must be a whole ZIP file without a password, or a "
                    f"folder: {first_line(error)}."
                ) from None
        for entry in entries(unpacked):
            of = checked(entry, data_root, draws, seed, data, images)
            f = of.fresh
            log.info(
                "%s says %.4f ± %.4f bits/dim on %d of %d test images; fresh noise (seed %d) gives "
                "%.4f ± %.4f on %d of them, ± %.4f of noise, k = %.2f of at most %.2f.",
                entry.run.label, entry.bits.mean(), entry.error, len(entry.keys), of.test_size,
                seed, f.mean, f.error, len(f.bits), f.noise, f.tail.k_hat, f.tail.k_most,
            )  # fmt: skip
            log.info(
                "Budget: %s passes in %s, %s %s. No crate can prove the seconds, nor that its "
                "weights come of these passes; only training by its run.json again does.",
                f"{of.passes:,}", entry.precision,
                "untold" if math.isnan(entry.seconds) else f"{entry.seconds:,.0f}",
                "core-seconds" if entry.measured else "seconds of wall time",
            )  # fmt: skip
            if of.minus is not None:
                log.info("Difference from %s, in pairs: %+.4f ± %.4f.", of.record, *of.minus)
            if not of.right:
                wrong.append(entry.run.label)
    if wrong:
        raise VdiffError(f"Not confirmed: {', '.join(wrong)}.")
    log.info("Confirmed.")
