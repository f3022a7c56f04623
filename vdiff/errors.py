"""The one exception that users see: its message is a sentence they can act on."""

from collections.abc import Iterator
from contextlib import contextmanager

PACKAGES = {"yaml": "pyyaml", "PIL": "pillow", "sklearn": "scikit-learn"}
"""Modules that are not called like the package that they come with."""


class VdiffError(Exception):
    """Bad input or a broken environment; the command line prints it without a traceback."""


@contextmanager
def needed() -> Iterator[None]:
    """Inside stand imports that a light installation may lack; raises VdiffError naming the package
    that it does lack."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module == "vdiff":
            raise
        package = PACKAGES.get(module, module.replace("_", "-"))
        raise VdiffError(
            f"This needs the package {package}, which is not installed; pip install {package}."
        ) from None


def first_line(error: Exception) -> str:
    """What went wrong, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
