"""vdiff: the variational perspective on diffusion models, regenerated and checked."""

from importlib import import_module

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """What needs torch is imported when asked for; without it the rest is quick to import."""
    if name in ("Trained", "load"):
        return getattr(import_module("vdiff.trained"), name)
    if name in ("Wrapped", "wrap"):
        return getattr(import_module("vdiff.wrapped"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
