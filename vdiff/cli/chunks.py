"""Scores in chunks: what the jobs of `vdiff run --preset score` call, and the keys it takes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from vdiff.cli.group import FOLDER, OUT, PATH, Output, main
from vdiff.cli.scoring import Scoring, by_option, said_of, score, with_scoring
from vdiff.errors import VdiffError

KEYS = click.Command(
    "score",
    params=[
        *(option for option in score.params if option.name != "config"),
        click.Option(["--chunk-size"], type=click.IntRange(1), default=4096),
        click.Option(["--files"], multiple=True),
    ],
)
"""What the workflow takes: the options of `vdiff score`; how many examples a job scores; what the
models read, which goes where they go."""
NO_RESULT_DEPENDS_ON = {"batch_size", "data_root", "device", "share", "wait"}
"""Where to compute: a change of it reruns nothing."""
CSV = re.compile(r"(?!-)[\w./ -]+\.csv")


class Keys(NamedTuple):
    """The workflow's configuration. words, machine: as options of the commands; the rest as the
    rules need it."""

    words: list[str]
    machine: list[str]
    values: dict[str, Any]

    @property
    def folder(self) -> str:
        """Of what is made on the way to the table."""
        return self.values["out"].with_suffix(".chunks").as_posix()

    @property
    def models(self) -> list[str]:
        """The files and folders that the models are."""
        own = [m.rpartition(":")[0] if ".py:" in m else m for m in self.values["models"]]
        return list(dict.fromkeys([*own, *self.values["files"]]))

    @property
    def data(self) -> list[str]:
        """The files and folders that the examples are in."""
        v = self.values
        given = [*v["data"], v["against"], v["train"], v["condition"]]
        return [name for name in given if name and Path(name).exists()]

    def planned(self) -> int:
        """How many chunks there are; raises VdiffError as `chunks.planned` does."""
        from vdiff.scoring.chunks import planned
        from vdiff.scoring.rows import at_once, check_how

        v = self.values
        check_how(v["method"], v["draws"], v["batch_size"])
        least = at_once(v["method"], v["draws"])
        if v["chunk_size"] % least:
            raise VdiffError(
                f"chunk_size is {v['chunk_size']}; it must be a multiple of {least}, so that "
                "networks have the batches of one process, and scores its bytes."
            )
        missing = [name for name in self.models if not Path(name).exists()]
        if missing:
            raise VdiffError(f"{missing[0]} is not there; it must be a file or a folder.")
        data = [*v["data"], *([v["against"]] if v["against"] else [])]
        others = [*self.models, *(name for name in (v["train"], v["condition"]) if name)]
        return planned(data, others, v["out"], v["chunk_size"], v["data_root"])


def keys_of(config: Mapping[str, Any]) -> Keys:
    """The workflow's configuration, checked. Raises VdiffError for a wrong key or value."""
    words: list[str] = []
    machine: list[str] = []
    every: list[str] = []
    own_keys = {key: value for key, value in config.items() if key != "part_iterations"}
    for option, value in by_option(KEYS, own_keys, ""):  # that one profiles set, for trainings
        own = _words(option, value)
        every += own
        if option.name in NO_RESULT_DEPENDS_ON:
            machine += own
        elif option.name not in ("out", "chunk_size", "files"):
            words += own
    try:
        values = KEYS.make_context("score", every).params
    except click.UsageError as error:
        raise VdiffError(error.format_message()) from None
    if not CSV.fullmatch(str(values["out"])):
        raise VdiffError(
            f"out is {values['out']}; it must end in .csv, with letters, digits, spaces and _ . / -"
        )
    return Keys(words, machine, values)


def _words(option: click.Option, value: Any) -> list[str]:
    """A key as the option of the command line."""
    word = option.opts[0]
    key = word.removeprefix("--")
    if option.is_flag:
        if not isinstance(value, bool):
            raise VdiffError(f"{key} is {value!r}; it must be true or false.")
        return [word] if value else option.secondary_opts[:1]
    several = value if isinstance(value, list) else [value]
    if option.nargs > 1:
        if len(several) != option.nargs:
            raise VdiffError(f"{key} is {value!r}; it must be a list of {option.nargs} values.")
        return [word, *map(str, several)]
    if len(several) > 1 and not option.multiple:
        raise VdiffError(f"{key} is {value!r}; it must be one value.")
    return [f"{word}={v}" for v in several]


# Help is given in words, as `python -OO` leaves no docstrings.
@main.group(help="Cut, score and join a data set in chunks, as `vdiff run --preset score` does.")
def chunks() -> None:
    """The parts of `vdiff score` that its jobs are."""


@chunks.command(help="Write the examples in chunks, and what `fit` takes, to a folder.")
@with_scoring
@click.option("--chunk-size", type=click.IntRange(1), default=4096, help="Examples of a chunk.")
@click.option("--into", type=FOLDER, required=True, help="The folder.")
def cut(asked: Scoring, chunk_size: int, into: Path) -> None:
    from vdiff.scoring.chunks import cut

    cut(**asked.examples(), size=chunk_size, out=into)


@chunks.command(help="Fit the models, once for all chunks.")
@with_scoring
@click.option("--shared", type=PATH, required=True, help="The shared.npz of `cut`.")
@click.option("--out", type=OUT, required=True, help="The NPZ file to write.")
def fit(asked: Scoring, shared: Path, out: Path) -> None:
    from vdiff.scoring.chunks import fit

    condition = asked.examples()["condition"]
    fit(shared=shared, condition=condition, out=out, **asked.scores())


@chunks.command("score", help="Score the examples of a chunk.")
@with_scoring
@click.option("--examples", type=PATH, required=True, help="The chunk, by `cut`.")
@click.option("--fitted", type=PATH, required=True, help="The file of `fit`.")
@click.option("--out", type=Output(waits=True), required=True, help="The NPZ file to write.")
def score_chunk(asked: Scoring, examples: Path, fitted: Path, out: Path) -> None:
    from vdiff.scoring.chunks import score_chunk

    score_chunk(examples=examples, fitted=fitted, out=out, **asked.scores())


@chunks.command(help="Write the table of the chunks' scores, as `vdiff score` does.")
@with_scoring
@click.option("--scores", type=PATH, required=True, help="The folder of 1.npz, 2.npz, ...")
@click.option("--fitted", type=PATH, required=True, help="The file of `fit`.")
@click.option("--out", type=OUT, required=True, help="The CSV file to write.")
def gather(asked: Scoring, scores: Path, fitted: Path, out: Path) -> None:
    from vdiff.scoring.chunks import gather

    said_of(asked, *gather(asked.models, scores, fitted, out))
