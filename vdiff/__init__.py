"""vdiff: the variational perspective on diffusion models, regenerated and checked."""

__version__ = "0.1.0"
