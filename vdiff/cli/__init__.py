"""The vdiff command: one subcommand per step of the pipeline, each of use by hand too."""

from vdiff.cli import measuring, pipeline, planning, reference, results, tables, training  # noqa: F401 (commands)
from vdiff.cli.group import main

__all__ = ["main"]
