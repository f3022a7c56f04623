"""vdiff: the variational perspective on diffusion models, regenerated and checked."""

from importlib import import_module

__version__ = "0.1.0"

HOMES = {
    "Model": "vdiff.likelihood.model",
    "LogProb": "vdiff.likelihood.result",
    "wrap": "vdiff.likelihood.wrap",
    "with_vae": "vdiff.likelihood.latent",
    "load": "vdiff.loading",
}


def __getattr__(name: str) -> object:
    """What needs torch is imported when asked for; without it the rest is quick to import."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
