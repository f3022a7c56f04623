"""Scores of examples by anyone's models."""

import difflib
import logging
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np

from vdiff.cli.group import PATH, main
from vdiff.cli.options import ROOT, with_device
from vdiff.config import read_yaml
from vdiff.errors import VdiffError
from vdiff.machine.devices import Wanted, choose

log = logging.getLogger("vdiff")


def _laid_below(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Makes the keys of a file the defaults of the options that they are called like."""
    if path is None:
        return None
    known = {
        option.opts[0].removeprefix("--"): option
        for option in ctx.command.params
        if option.name != "config"
    }
    content: dict[str, Any] = {}
    for key, value in read_yaml(path).items():
        option = known.get(str(key).replace("_", "-"))
        if option is None:
            near = difflib.get_close_matches(str(key), known, 1, 0)
            raise VdiffError(
                f"{path}: the key {key} is unknown; did you mean {near[0]}? vdiff score --help "
                "lists all."
            )
        several = value if isinstance(value, list) else [value]
        if any(isinstance(v, dict | list) for v in several):
            raise VdiffError(f"{path}: {key} is {value!r}; it must be a value or a list of values.")
        assert option.name is not None
        content[option.name] = several if option.multiple else value
    ctx.default_map = {name: value for name, value in content.items() if value is not None}
    return path


@main.command()
@click.option(
    "--model",
    "models",
    required=True,
    multiple=True,
    help="FILE.py:FUNCTION or the folder of a diffusers pipeline. Several are compared.",
)
@click.option(
    "--data",
    multiple=True,
    required=True,
    help="An NPZ file with x, an .npy file, a folder of PNG or JPEG images, or the name of a data "
    "set such as cifar10, whose test images these are. It may be given several times.",
)
@click.option("--against", help="Examples, like --data, to tell apart from those.")
@click.option("--train", help="Examples, like --data, that the control variates are fitted on.")
@click.option(
    "--condition",
    help="What the network is told: one class for all, or an .npy file (or NPZ with y) that has a "
    "row for each example of --data and --against.",
)
@click.option("--labels/--no-labels", help="Whether the network is told the labels of the data.")
@click.option(
    "--method",
    type=click.Choice(["elbo", "ode"]),
    default="elbo",
    help="The bound of the reverse SDE, or the likelihood of the probability-flow ODE.",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    help="Draws of the estimator for each example.  [default: 32 by elbo, 4 by ode]",
)
@click.option("--seed", type=int, default=0, help="The seed of the noise.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Rows that the network sees at once; scores do not depend on it but for rounding.  "
    "[default: 256, or what fits the memory]",
)
@click.option(
    "--levels",
    type=click.IntRange(2, 256),
    help="The number of grey levels, for the folder of a pipeline.  [default: 256]",
)
@click.option(
    "--range",
    "limits",
    type=float,
    nargs=2,
    help="What the grey levels 0 and LEVELS become, for the folder of a pipeline.  [default: -1 1]",
)
@click.option("--out", type=PATH, required=True, help="The CSV file to write.")
@click.option(
    "--config",
    type=PATH,
    is_eager=True,
    callback=_laid_below,
    help="A YAML file with these options as keys; what is given here goes before it.",
)
@ROOT
@with_device
def score(
    models: tuple[str, ...],
    data: tuple[str, ...],
    against: str | None,
    train: str | None,
    condition: str | None,
    labels: bool,
    method: str,
    draws: int | None,
    seed: int,
    batch_size: int | None,
    levels: int | None,
    limits: tuple[float, float] | None,
    out: Path,
    config: Path | None,
    data_root: Path,
    device: Wanted,
) -> None:
    """The likelihood of each example of DATA under any diffusion model: nats and bits/dim.

    FUNCTION returns what vdiff.wrap does, and may take a device; x are grey levels (uint8) or real
    vectors, as that takes them. Killed, the same command goes on. With --against the log says how
    well likelihood and typicality tell those examples from DATA, with several models how they
    differ.
    """
    from vdiff.scoring.model import model_of
    from vdiff.scoring.rows import differences, scored

    if len(set(models)) < len(models):
        raise VdiffError("A model is given twice; each may be given once.")

    @cache
    def place() -> str:
        return choose(device)

    frame, sizes = scored(
        dict(zip(models, models, strict=True)),
        [*data, *([against] if against else [])],
        condition=int(condition) if condition and condition.isdigit() else condition,
        labels=labels,
        train=train,
        method=method,
        draws=draws,
        seed=seed,
        batch_size=batch_size,
        make=lambda spec: model_of(spec, place(), levels=levels, range=limits),
        data_root=data_root,
        out=out,
        others=[config] if config else [],
    )
    n = sum(sizes) - (sizes[-1] if against else 0)
    own = frame.groupby("model", sort=False).head(n)
    for name in models:
        _summarised(name, own[own["model"] == name])
    for row in differences(own).itertuples():
        log.info(
            "%s less %s: %+.4f ± %.4f bits/dim, on the same examples and noise.",
            row.first, row.second, row.difference, row.std_err,
        )  # fmt: skip
    if against:
        for name in models:
            z = frame.loc[frame["model"] == name, "log_prob"].to_numpy()
            _told_apart(name, z[:n], z[n:], seed)


def _summarised(name: str, rows: Any) -> None:
    from vdiff.stats.intervals import std_err

    bits = rows["bpd"].to_numpy()
    error = std_err(bits) if len(bits) > 1 else rows["bpd_std_err"].iloc[0]
    many = f"{len(bits)} example{'s' * (len(bits) > 1)}"
    log.info("%s: %s, %.4f ± %.4f bits/dim.", name, many, bits.mean(), error)
    if rows["std_err"].isna().any():
        log.info(
            "The errors of single examples are not known under conditions that differ; with "
            "--train they are."
        )


def _told_apart(name: str, own: np.ndarray, others: np.ndarray, seed: int) -> None:
    from vdiff.stats.outliers import LEAST, aupr, auroc, fpr95, typicality

    if min(len(own), len(others)) < LEAST:
        log.info("How well two sets are told apart takes at least %d examples of each.", LEAST)
        return
    by = {"likelihood": (-own, -others), "typicality": typicality(own, others)}
    for how, (inside, outside) in by.items():
        said = [
            f"{measure} {value:.3f} ± {error:.3f}"
            for measure, (value, error) in (
                ("AUROC", auroc(inside, outside)),
                ("AUPR", aupr(inside, outside)),
                ("FPR at 95% TPR", fpr95(inside, outside, seed)),
            )
        ]
        log.info("%s: by %s they are told apart with %s.", name, how, ", ".join(said))
    log.info(
        "A high likelihood does not make an example typical of the data (arXiv 1810.09136): an "
        "AUROC below 0.5 is common."
    )
