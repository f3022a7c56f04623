"""Where the pipeline's own files are: in the wheel, or beside the package in a checkout."""

from pathlib import Path

from vdiff.errors import VdiffError

PACKAGE = Path(__file__).parents[1]


def snakefile() -> Path:
    """Raises VdiffError when neither place has one."""
    for folder in (PACKAGE / "pipeline", PACKAGE.parent):
        if (folder / "Snakefile").is_file() and (folder / "workflow").is_dir():
            return folder / "Snakefile"
    raise VdiffError(f"There is no Snakefile beside {PACKAGE}; install vdiff's wheel or checkout.")
