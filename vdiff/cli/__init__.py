"""The vdiff command: one subcommand per step of the pipeline, each of use by hand too."""

from vdiff.cli import (  # noqa: F401 (commands)
    data,
    measuring,
    pipeline,
    planning,
    record,
    reference,
    results,
    scoring,
    tables,
    training,
)
from vdiff.cli.group import main

__all__ = ["main"]
