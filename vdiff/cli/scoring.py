"""Scores of examples by anyone's model."""

import logging
from pathlib import Path

import click
import numpy as np

from vdiff.cli.group import PATH, main
from vdiff.cli.options import with_device
from vdiff.errors import VdiffError
from vdiff.machine.devices import Wanted, choose

log = logging.getLogger("vdiff")


@main.command()
@click.option("--model", required=True, help="FILE.py:FUNCTION or a diffusers pipeline's folder.")
@click.option("--data", type=PATH, multiple=True, required=True, help="NPZ with x; repeatable.")
@click.option("--against", type=PATH, help="NPZ with x: examples to tell apart from those.")
@click.option("--draws", type=click.IntRange(2), default=32, help="Of the estimator, per example.")
@click.option("--out", type=PATH, required=True, help="The CSV to write.")
@with_device
def score(
    model: str,
    data: tuple[Path, ...],
    against: Path | None,
    draws: int,
    out: Path,
    device: Wanted,
) -> None:
    """The likelihood of each example of DATA under any diffusion model: nats and bits/dim.

    FUNCTION returns what vdiff.wrap does, and may take a device; x are grey levels (uint8) or real
    vectors, as that takes them. Killed, the same command goes on. With --against: how well
    likelihood and typicality tell those examples from DATA.
    """
    from vdiff.files.tidy import write_csv
    from vdiff.scoring import model_of, scores

    files = [*data, *([against] if against else [])]
    if len(set(files)) < len(files):
        raise VdiffError("A file of examples is given twice; each may be given once.")
    wrapped, checksum = model_of(model, choose(device))
    part = out.with_name(f"{out.name}.part.npz")
    rows = scores(wrapped, checksum, files, part, draws)
    write_csv(out, rows, "scores")
    part.unlink()
    own = np.array([r["log_prob"] for r in rows if r["file"] != str(against)])
    bits = np.array([r["bpd"] for r in rows if r["file"] != str(against)])
    log.info(
        "%d examples: %.4f ± %.4f bits/dim.", len(own), bits.mean(), bits.std() / len(own) ** 0.5
    )
    if against:
        _told_apart(own, np.array([r["log_prob"] for r in rows if r["file"] == str(against)]))


def _told_apart(own: np.ndarray, others: np.ndarray) -> None:
    from vdiff.stats.outliers import auroc, typicality

    likely = auroc(-own, -others)
    typical = auroc(*typicality(own, others))
    for name, (value, error) in (("likelihood", likely), ("typicality", typical)):
        log.info("By %s they are told apart with an AUROC of %.3f ± %.3f.", name, value, error)
    log.info(
        "A high likelihood does not make an example typical of the data (arXiv 1810.09136): an "
        "AUROC below 0.5 is common."
    )
