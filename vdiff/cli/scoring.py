"""Scores of examples by anyone's models."""

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

from vdiff.cli.group import PATH, main
from vdiff.cli.options import ROOT, with_device
from vdiff.errors import VdiffError
from vdiff.machine.devices import Wanted, choose

if TYPE_CHECKING:
    from vdiff.scoring.rows import Table

log = logging.getLogger("vdiff")


def _laid_below(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Makes the keys of a file the defaults of the options that they are called like."""
    if path is not None:
        from vdiff.config import read_yaml

        content = by_option(ctx.command, read_yaml(path), f"{path}: ")
        ctx.default_map = {str(option.name): value for option, value in content}
    return path


def by_option(
    command: click.Command, keys: Mapping[str, Any], where: str
) -> Iterator[tuple[click.Option, Any]]:
    """Keys as options of the command with their values, those of no value left out. Raises
    VdiffError for another key."""
    known = {
        option.opts[0].removeprefix("--"): option
        for option in command.params
        if isinstance(option, click.Option) and option.name != "config"
    }
    for key, value in keys.items():
        option = known.get(str(key).replace("_", "-"))
        if option is None:
            near = difflib.get_close_matches(str(key), known, 1, 0)
            raise VdiffError(
                f"{where}the key {key} is unknown; did you mean {near[0]}? vdiff score --help "
                "lists all."
            )
        several = value if isinstance(value, list) else [value]
        if any(isinstance(v, dict | list) for v in several):
            raise VdiffError(f"{where}{key} is {value!r}; it must be a value or a list of values.")
        if value is not None:
            yield option, several if option.multiple else value


OPTIONS = (
    click.option(
        "--model",
        "models",
        required=True,
        multiple=True,
        help="FILE.py:FUNCTION or the folder of a diffusers pipeline. Several are compared.",
    ),
    click.option(
        "--data",
        multiple=True,
        required=True,
        help="An NPZ file with x, an .npy file, a folder of PNG or JPEG images, or the name of a "
        "data set such as cifar10, whose test images these are. It may be given several times.",
    ),
    click.option("--against", help="Examples, like --data, to tell apart from those."),
    click.option("--train", help="Examples, like --data, that the control variates are fitted on."),
    click.option(
        "--condition",
        help="What the network is told: one class for all, or an .npy file (or NPZ with y) that "
        "has a row for each example of --data and --against.",
    ),
    click.option(
        "--labels/--no-labels", help="Whether the network is told the labels of the data."
    ),
    click.option(
        "--method",
        type=click.Choice(["elbo", "ode"]),
        default="elbo",
        help="The bound of the reverse SDE, or the likelihood of the probability-flow ODE.",
    ),
    click.option(
        "--draws",
        type=click.IntRange(1),
        help="Draws of the estimator for each example.  [default: 32 by elbo, 4 by ode]",
    ),
    click.option("--seed", type=int, default=0, help="The seed of the noise."),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        help="Rows that the network sees at once; scores do not depend on it but for rounding.  "
        "[default: 256, or what fits the memory]",
    ),
    click.option(
        "--levels",
        type=click.IntRange(2, 256),
        help="The number of grey levels, for the folder of a pipeline.  [default: 256]",
    ),
    click.option(
        "--range",
        "limits",
        type=float,
        nargs=2,
        help="What the grey levels 0 and LEVELS become, for the folder of a pipeline.  "
        "[default: -1 1]",
    ),
    ROOT,
    with_device,
)


class Scoring(NamedTuple):
    """What is scored by which models, and how: the options that `vdiff score` and the commands of
    its chunks have in common."""

    models: tuple[str, ...]
    data: tuple[str, ...]
    against: str | None
    train: str | None
    condition: str | None
    labels: bool
    method: str
    draws: int | None
    seed: int
    batch_size: int | None
    levels: int | None
    limits: tuple[float, float] | None
    data_root: Path
    device: Wanted

    def examples(self) -> dict[str, Any]:
        """Which examples, and what the network is told of them."""
        c = self.condition
        return {
            "data": [*self.data, *([self.against] if self.against else [])],
            "condition": int(c) if c and c.isdigit() else c,
            "labels": self.labels,
            "train": self.train,
            "seed": self.seed,
            "data_root": self.data_root,
        }

    def scores(self) -> dict[str, Any]:
        """By which models, and how."""
        from vdiff.scoring.model import model_of

        if len(set(self.models)) < len(self.models):
            raise VdiffError("A model is given twice; each may be given once.")

        @cache
        def place() -> str:
            return choose(self.device)

        return {
            "models": dict(zip(self.models, self.models, strict=True)),
            "method": self.method,
            "draws": self.draws,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "make": lambda s: model_of(s, place(), levels=self.levels, range=self.limits),
        }


def with_scoring(command: Callable[..., None]) -> Callable[..., Any]:
    """A decorator: options that arrive as one `Scoring`, the argument asked."""

    @wraps(command)
    def wanted(**given: Any) -> None:
        own = {name: given.pop(name) for name in Scoring._fields}
        command(asked=Scoring(**own), **given)

    decorated: Callable[..., Any] = wanted
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated


@main.command()
@with_scoring
@click.option("--out", type=PATH, required=True, help="The CSV file to write.")
@click.option(
    "--config",
    type=PATH,
    is_eager=True,
    callback=_laid_below,
    help="A YAML file with these options as keys; what is given here goes before it.",
)
def score(asked: Scoring, out: Path, config: Path | None) -> None:
    """Score each example of DATA under any diffusion model: nats and bits/dim.

    FUNCTION returns what vdiff.wrap does, and may take a device; x are grey levels (uint8) or real
    vectors, as that takes them. Killed, the same command goes on. With --against the log says how
    well likelihood and typicality tell those examples from DATA, with several models how they
    differ.
    """
    from vdiff.scoring.rows import scored

    if asked.against:
        import vdiff.stats.outliers  # noqa: F401 (a package that it lacks is named at once)
    given = {**asked.examples(), **asked.scores()}
    said_of(asked, *scored(**given, out=out, others=[config] if config else []))


def said_of(asked: Scoring, scores: "Table", sizes: Sequence[int]) -> None:
    """What the log says of scores. sizes: of the places of their examples."""
    from vdiff.scoring.rows import paired

    n = sum(sizes) - (sizes[-1] if asked.against else 0)
    each = {
        column: dict(zip(asked.models, np.reshape(scores[column], (-1, sum(sizes))), strict=True))
        for column in ("log_prob", "bpd", "bpd_std_err")
    }
    bits = {name: z[:n] for name, z in each["bpd"].items()}
    for name in asked.models:
        _summarised(name, bits[name], each["bpd_std_err"][name][:n])
    for first, second, difference, error, _ in paired(bits):
        log.info(
            "%s less %s: %+.4f ± %.4f bits/dim, on the same examples and noise.",
            first, second, difference, error,
        )  # fmt: skip
    if asked.against:
        for name, z in each["log_prob"].items():
            _told_apart(name, z[:n], z[n:], asked.seed)


def _summarised(name: str, bits: np.ndarray, errors: np.ndarray) -> None:
    from vdiff.stats.intervals import std_err

    error = std_err(bits) if len(bits) > 1 else errors[0]
    many = f"{len(bits)} example{'s' * (len(bits) > 1)}"
    log.info("%s: %s, %.4f ± %.4f bits/dim.", name, many, bits.mean(), error)
    if np.isnan(errors).any():
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
