"""Which code made a result: a hash of the modules that change it.

The pipeline hands these hashes to its rules, so that editing a figure never trains again.
"""

import hashlib
from pathlib import Path

_TRAIN = (
    "tensors.py", "seeds.py", "sde.py", "times.py", "reverse.py", "dsm.py", "elbo.py", "bits.py",
    "data.py", "nets/mlp.py", "nets/unet.py", "train.py",
)  # fmt: skip
MODULES = {
    "train": _TRAIN,
    "evaluate": ("control.py", "divergence.py", "elbo.py", "times.py", "evaluate.py"),
    "sample": ("reverse.py", "samplers.py", "sample.py"),
}


def code_hash(step: str) -> str:
    """Twelve hexadecimal digits over the modules of a step; training counts for the others too."""
    digest = hashlib.sha256()
    for name in MODULES[step]:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]
