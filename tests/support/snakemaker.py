"""Snakemake in a fork of a process that has imported it, and nothing of vdiff.

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


if __name__ == "__main__":
    forkserver = by_path(Path(__file__).parents[2] / "vdiff" / "machine" / "forkserver.py")
    if sys.argv[1] == "forkserver":
        forkserver.serve(socket(fileno=int(sys.argv[2])), int(sys.argv[3]), Path(sys.argv[4]), ())
        forkserver.run(main)
    main()
