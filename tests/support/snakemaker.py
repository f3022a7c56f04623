"""Snakemake in a fork of a process that has imported it, and of vdiff at most what PYTHONPATH has.

python snakemaker.py forkserver ...          the server, as vdiff/machine/forked.py starts it
python snakemaker.py FOLDER WORDS...         snakemake WORDS with FOLDER's modules first
"""

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from socket import socket

import snakemake.cli


def by_path(path: Path):
    """A module that is no part of a package."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    folder = sys.argv.pop(1)
    os.environ["PYTHONPATH"] = folder
    sys.path.insert(0, folder)
    snakemake.cli.main()


def prepare() -> None:
    """Import Snakemake's plug-ins, and what the workflow imports of a package that is the server's
    own, with the hashes of its code."""
    snakemake.cli.get_argument_parser()
    if "PYTHONPATH" in os.environ:
        from vdiff.config.specs import SPECS
        from vdiff.figures.registry import FIGURES
        from vdiff.files.codehash import code_hash
        from vdiff.report import asked  # noqa: F401

        steps = [f"steps.{name}" for name in SPECS]
        figures = [f"figures.{figure.module}" for figure in FIGURES.values()]
        code_hash("training.loop", "stats.controls", "report.page", *steps, *figures)


if __name__ == "__main__":
    forkserver = by_path(Path(__file__).parents[2] / "vdiff" / "machine" / "forkserver.py")
    if sys.argv[1] == "forkserver":
        prepare()
        forkserver.serve(socket(fileno=int(sys.argv[2])), int(sys.argv[3]), Path(sys.argv[4]), ())
        forkserver.run(main)
    main()
