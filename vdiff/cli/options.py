"""Options of the commands: those that several share, and those made from a section's fields."""

import os
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import click

from vdiff.cli.group import PATH
from vdiff.machine.devices import Wanted

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Command = Callable[..., Any]
M = TypeVar("M", bound="BaseModel")


def with_device(command: Command) -> Command:
    """A decorator: options that arrive as one `Wanted`, the argument device."""

    @wraps(command)
    def wanted(*args: Any, device: str, share: bool, wait: bool, **given: Any) -> Any:
        return command(*args, device=Wanted(device, share, wait), **given)

    for option in (
        click.option("--wait", is_flag=True, help="Wait for a GPU that vdiff uses already."),
        click.option("--share", is_flag=True, help="Share a GPU that vdiff uses already."),
        click.option(
            "--device",
            default="auto",
            help="cpu, cuda, cuda:N or another kind of torch's; auto: a GPU if torch sees one.",
        ),
    ):
        wanted = option(wanted)
    return wanted


ROOT = click.option(
    "--data-root",
    "--dataroot",
    type=PATH,
    default=Path("data"),
    help="Folder of the torchvision sets; what is missing there is downloaded.",
)


class RunFile(click.Path):
    """The file run.json, or the folder that it is in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        return path / "run.json" if path.is_dir() else path


RUN_FILE = RunFile(path_type=Path)
RUN = click.option(
    "--run", "run_file", type=RUN_FILE, required=True, help="The run's folder, or its run.json."
)
SNAPSHOTS = click.option(
    "--snapshots", type=PATH, help="Its snapshots.csv, by default the one beside its run.json."
)


def options_of(
    model: type["BaseModel"], aliases: Mapping[str, str] = {}
) -> Callable[[Command], Command]:
    """A decorator that gives a command one option per field; values arrive as text or None.

    A list is given with commas. aliases: fields to a second spelling of their options.
    """

    def decorate(command: Command) -> Command:
        for name, field in reversed(model.model_fields.items()):
            spellings = [_spelling(name)]
            if aliases and name in aliases:
                spellings.append(aliases[name])
            flag: dict[str, Any] = (
                {"is_flag": False, "flag_value": "true"} if field.annotation is bool else {}
            )
            command = click.option(
                *spellings, name, metavar=metavar(field), help=_help(field), show_default=False,
                **flag,
            )(command)  # fmt: skip
        return command

    return decorate


def settings_of(model: type[M], given: Mapping[str, Any]) -> M:
    """The section from the options that were given; raises VdiffError naming a wrong one."""
    from vdiff.config import validate

    content: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        value = given.get(name)
        if value is not None:
            content[name] = _parsed(value) if is_list(field) else value
    return validate(model, content, lambda name: f"The option {_spelling(name)}")


def words_of(settings: "BaseModel") -> list[str]:
    """A section as options of the command line, the inverse of `settings_of`."""
    words = []
    for name, value in settings.model_dump().items():
        if value is not None:
            words.append(f"{_spelling(name)}={text_of(value)}")
    return words


def text_of(value: Any) -> str:
    """A value as the command line has it: a list with commas."""
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


def is_list(field: "FieldInfo") -> bool:
    return get_origin(field.annotation) is list


def metavar(field: "FieldInfo") -> str:
    """A field's type as a word: INTEGER, FLOAT, BOOLEAN, NAME or its choices."""
    kind = field.annotation
    while get_args(kind) and not _choices(kind) and get_origin(kind) is not dict:
        kind = get_args(kind)[0]
    kind = get_origin(kind) or kind
    if _choices(kind):
        word = "|".join(str(c) for c in _choices(kind))
    else:
        word = NAMES.get(kind, "MAPPING" if _is_mapping(kind) else "TEXT")
    return f"{word},..." if is_list(field) else word


NAMES: dict[Any, str] = {int: "INTEGER", float: "FLOAT", bool: "true|false", str: "TEXT"}


def _is_mapping(kind: Any) -> bool:
    return kind is dict or (isinstance(kind, type) and hasattr(kind, "model_fields"))


def _choices(kind: Any) -> tuple:
    args = get_args(kind)
    return args if args and all(isinstance(a, str) for a in args) else ()


def _help(field: "FieldInfo") -> str:
    default = field.get_default(call_default_factory=True)
    if isinstance(default, list):
        default = ",".join(str(item) for item in default)
    shown = "" if default is None else f"  [default: {default}]"
    return f"{field.description}{shown}"


def _spelling(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parsed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []
