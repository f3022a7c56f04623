"""The command group: messages, faults as one sentence, and receipts for what was made."""

import ast
import inspect
import json
import logging
import os
import re
import resource
import sys
import time
from contextlib import ExitStack
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from vdiff.errors import VdiffError, needed
from vdiff.files.atomic import WRITTEN, check_writable, writing
from vdiff.files.objects import write_json
from vdiff.machine.energy import Meter

log = logging.getLogger("vdiff")
FIRST = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun, whose files are one's
HELD: ContextVar[ExitStack] = ContextVar("HELD")
"""What a command holds until it ends."""
PATH = click.Path(path_type=Path)


class Output(click.Path):
    """A file, or a folder, that a command writes: refused before it runs where it cannot be, and a
    file where another command writes it now, unless that is waited for."""

    def __init__(self, folder: bool = False, waits: bool = False) -> None:
        super().__init__(path_type=Path)
        self.folder, self.waits = folder, waits

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        if FIRST:
            check_writable(Path(os.fsdecode(path)), self.folder)
            if not (self.folder or self.waits) and (held := HELD.get(None)):
                held.enter_context(writing(Path(os.fsdecode(path))))
        return path


OUT, FOLDER = Output(), Output(folder=True)
SECTIONS = {
    "Start": ("run", "plan", "presets", "report"),
    "Your own model or data": (
        "score", "chunks", "fetch", "import-weights", "export-weights", "record",
    ),
    "Results": ("claims", "compare", "keep", "clean", "export"),
}  # fmt: skip
"""Commands by what they are for, as the help lists them."""
REST = "Steps of the pipeline, each of use by hand"


class Sentences(click.Group):
    """Prints a VdiffError as one sentence, without a traceback, and exits with code 1.

    With --log, a command that ends well leaves a receipt for what it made beside its log.
    """

    lacking = ""  # in a light installation: why some commands are not there

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            if not self.lacking:
                raise
            raise VdiffError(f"vdiff {args[0]} is not here. {self.lacking}") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The first sentence of each command, by section."""
        named = {name for names in SECTIONS.values() for name in names}
        rest = [name for name in self.list_commands(ctx) if name not in named]
        for title, names in {**SECTIONS, REST: rest}.items():
            here = [(name, self.commands[name]) for name in names if name in self.commands]
            if here:
                with formatter.section(title):
                    formatter.write_dl([(name, first_sentence(c.help)) for name, c in here])

    def command(self, *args: Any, **kwargs: Any) -> Any:
        """As click's, but that help comes from the source where `python -OO` leaves none."""

        def decorate(function: Any) -> click.Command:
            function.__doc__ = doc_of(function)
            return super(Sentences, self).command(*args, **kwargs)(function)

        return decorate

    def main(self, *args: Any, **given: Any) -> Any:
        try:
            return super().main(*args, **given)
        except OSError as error:  # of --version and --help, which no command is invoked for
            sys.exit(f"Nothing could be written: {error.strerror}.")

    def invoke(self, ctx: click.Context) -> object:
        started = time.monotonic()
        made: dict[str, str] = {}
        WRITTEN.set(made)
        ctx.obj = {}
        try:
            with needed(), ExitStack() as held:
                held.callback(HELD.reset, HELD.set(held))
                meter = Meter() if ctx.params["log_file"] and FIRST else None
                result = super().invoke(ctx)
                if meter:
                    seconds = round(time.monotonic() - started, 3)
                    receipt = _receipt(ctx.obj, made, seconds, meter.joules())
                    write_json(ctx.params["log_file"].with_suffix(".json"), receipt)
            return result
        except VdiffError as error:
            log.error("%s", error)
        except BrokenPipeError:  # whoever read has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            log.error("%s: %s.", error.filename or "A file could not be used", error.strerror)
        ctx.exit(1)


def first_sentence(text: str | None) -> str:
    """Of a help text, on one line."""
    return re.split(r"(?<=[.])\s", " ".join((text or "").split()), maxsplit=1)[0]


def doc_of(what: Any) -> str | None:
    """The docstring of a function or class, from its source where `python -OO` leaves none."""
    what = inspect.unwrap(what)
    file = None if what.__doc__ else inspect.getsourcefile(what)
    if file is None:
        return what.__doc__
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == what.__name__:
            return ast.get_docstring(node)
    return None


def _receipt(notes: dict, made: dict[str, str], seconds: float, joules: float | None) -> dict:
    """What a command made, from what, where and in how long: part of the manifest."""
    from vdiff.files.manifest import made_by

    outputs = {name: sha for name, sha in made.items() if Path(name).is_file()}
    command = ["vdiff", *sys.argv[1:]]
    ended = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {
        "command": command,
        "ended": ended,
        "seconds": seconds,
        "cpu_seconds": round(time.process_time(), 3),
        **({} if joules is None else {"joules": round(joules, 1)}),
        "memory_mb": _memory(),
        **notes,
        **made_by(),
        "outputs": outputs,
    }


def _memory() -> float:
    """The most memory that this process had at once, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB, on macOS bytes
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def note(**facts: object) -> None:
    """Facts for the receipt of the running command, such as its device."""
    click.get_current_context().find_root().obj.update(facts)


@click.group(
    cls=Sentences,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
        "show_default": True,
    },
)
@click.option(
    "--log", "log_file", type=click.Path(path_type=Path), help="Also write messages to this file."
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads of the mathematics.")
@click.version_option(package_name="vdiff")
def main(log_file: Path | None, threads: int | None) -> None:
    """Regenerate and check the figures of "A Variational Perspective on Diffusion-Based
    Generative Models and Score Matching" (arXiv 2106.02808).

    `vdiff run --preset demo --cores 2` does all of it. `vdiff COMMAND --help` explains a command
    and its options.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file and FIRST:
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(logging.FileHandler(log_file, mode="w"))
        except OSError as error:
            sys.exit(f"{log_file} cannot be written: {error.strerror}.")
    logging.raiseExceptions = False  # a full disk must not print a traceback per message
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)
    if threads:  # before torch is imported, which reads it once
        os.environ["OMP_NUM_THREADS"] = str(threads)


main.help = doc_of(main.callback)


def from_json(text: str) -> dict:
    """A mapping from JSON text; raises VdiffError when it is none."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise VdiffError(f"{text!r} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise VdiffError(f"{text!r} is no JSON mapping of keys to values.")
    return content
