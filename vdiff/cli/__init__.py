"""The vdiff command: one subcommand per step of the pipeline, each of use by hand too.

Where packages are missing, as in a light installation, so are the commands that need them.
"""

from importlib import import_module

from vdiff.cli.group import main
from vdiff.errors import VdiffError, needed

for _name in (
    "chunks", "data", "measuring", "pipeline", "planning", "record", "reference", "results",
    "scoring", "tables", "training",
):  # fmt: skip
    try:
        with needed():
            import_module(f"vdiff.cli.{_name}")
    except VdiffError as _error:
        main.lacking = str(_error)

__all__ = ["main"]
