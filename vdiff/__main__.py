"""The vdiff command: `python -m vdiff`, or by the path of this file.

The pipeline's jobs name the path: then the code is that of this folder, whatever lies in the
working folder or on PYTHONPATH, for the package is loaded from here by its place and not by a
search for its name.
"""

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from socket import socket


def _bind() -> None:
    """Make this folder the package vdiff, and what the environment put on the path come last."""
    folder = Path(__file__).resolve().parent
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    last = [str(Path(path).resolve()) for path in given]
    late = {*last, str(folder)}
    before = [path for path in sys.path if path and str(Path(path).resolve()) not in late]
    sys.path[:] = [*before, *last]
    package = folder / "__init__.py"
    spec = spec_from_file_location("vdiff", package, submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["vdiff"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    if not __package__:
        _bind()
    from vdiff.cli import main

    if sys.argv[1:2] == ["forkserver"]:
        from vdiff.machine.forkserver import run, serve

        serve(socket(fileno=int(sys.argv[2])), int(sys.argv[3]), Path(sys.argv[4]))
        run(main)  # of a fork
    main()
