"""vdiff: the variational perspective on diffusion models, regenerated and checked."""

from importlib import import_module

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`vdiff.load` and `vdiff.Trained` need torch, without which the rest is quick to import."""
    if name in ("Trained", "load"):
        return getattr(import_module("vdiff.trained"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
