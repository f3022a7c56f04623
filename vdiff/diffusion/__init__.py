"""The mathematics of the paper: torch (and torchdiffeq, for one sampler), no files, no machine, no
configuration."""
