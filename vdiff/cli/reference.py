"""reference: the pages of the documentation that are made from the code."""

from typing import get_args

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vdiff.cli.group import doc_of, main
from vdiff.cli.options import metavar
from vdiff.config import Config, Experiment
from vdiff.config.experiment import TRAINED, Arm
from vdiff.config.measurements import Measurements
from vdiff.config.sections import Forward
from vdiff.files import schemas

HEAD = """# Configuration

Every key, its type and default; made from `vdiff/config/` by `vdiff reference configuration`. Keys
are laid over a preset, in a file (`snakemake --cores 2 --configfile mine.yaml`) or on the command
line (`--config 'experiments={digits: {seeds: [0, 1]}}'`). A mapping is laid over its base key by
key, a list replaces it, and `null` switches a section, an arm or an experiment off. A key that is
unknown or has an impossible value is refused with a sentence that names it, before anything runs.
"""


def _table(model: type[BaseModel], leave_out: tuple[str, ...] = ()) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    own = set(model.__annotations__)  # before what is inherited
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] not in own):
        if name not in leave_out:
            kind = metavar(field).replace("|", " \\| ")
            lines.append(f"| `{name}` | {kind} | {_default(field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel) or value in ([], {}):
        return ""
    return f"`{value}`"


def _sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The fields of a model that are sections, with the type of each."""
    sections = {}
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        types = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if types:
            sections[name] = types[0]
    return sections


def configuration() -> str:
    """The page docs/configuration.md."""
    parts = [HEAD, "## Top level\n", _table(Config), "## `experiments.NAME`\n"]
    parts += [f"{doc_of(Experiment)}\n", _table(Experiment)]
    parts += ["## `arms.NAME`\n", f"{doc_of(Arm)} {', '.join(TRAINED)} hold only what differs.\n"]
    parts.append(_table(Arm, TRAINED))
    for model in (get_args(kind)[0] for kind in get_args(get_args(Forward)[0])):
        kind = model.model_fields["kind"].default
        parts += [f"## `sde` of kind {kind}\n", f"{doc_of(model)}\n", _table(model)]
    sections = _sections(Experiment)
    order = ["network", "training", *Measurements.model_fields]
    for name in order:
        parts += [f"## `{name}`\n", f"{doc_of(sections[name])}\n", _table(sections[name])]
    return "\n".join(parts)


PAGES = {"configuration": configuration, "columns": schemas.reference}


@main.command()
@click.argument("page", type=click.Choice(list(PAGES)))
def reference(page: str) -> None:
    """Print a PAGE of the documentation that is made from the code, as Markdown."""
    click.echo(PAGES[page](), nl=False)
