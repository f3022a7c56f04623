"""The vdiff command: one subcommand per step of the pipeline, each of use by hand too."""

from vdiff.cli import measuring, planning, results, sampling, training  # noqa: F401 (commands)
from vdiff.cli.group import main
from vdiff.cli.trained import Trained

__all__ = ["Trained", "main"]
