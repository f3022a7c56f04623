"""Which code made a result: a hash of the modules that change the course of training."""

import hashlib
from pathlib import Path

TRAINING_MODULES = (
    "tensors.py", "seeds.py", "sde.py", "times.py", "reverse.py", "dsm.py", "elbo.py", "bits.py",
    "data.py", "nets/mlp.py", "nets/unet.py", "train.py",
)  # fmt: skip


def training_code_hash() -> str:
    """Twelve hexadecimal digits over TRAINING_MODULES; figures and loops elsewhere do not count."""
    digest = hashlib.sha256()
    for name in TRAINING_MODULES:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]
