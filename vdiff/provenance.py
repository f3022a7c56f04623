"""Which code made a result: a hash of the modules that change it.

The pipeline hands these hashes to its rules, so that editing a figure never trains again.
"""

import hashlib
from pathlib import Path

_TRAIN = (
    "tensors.py", "seeds.py", "sde.py", "times.py", "reverse.py", "dsm.py", "elbo.py", "bits.py",
    "data.py", "nets/mlp.py", "nets/unet.py", "train.py",
)  # fmt: skip
_EVALUATE = ("control.py", "divergence.py", "elbo.py", "times.py", "evaluate.py")
_SAMPLE = (
    "reverse.py", "samplers/state.py", "samplers/denoise.py", "samplers/grids.py",
    "samplers/noise.py", "samplers/euler_maruyama.py", "samplers/exponential.py",
    "samplers/multistep.py", "samplers/heun.py", "samplers/stochastic_heun.py",
    "samplers/adaptive.py", "sample.py",
)  # fmt: skip
MODULES = {
    "train": _TRAIN,
    "evaluate": _EVALUATE,
    "likelihood": (*_EVALUATE, "ode.py", "likelihood.py"),
    "variance": (*_EVALUATE, "dsm.py", "variance.py"),
    "sample": _SAMPLE,
    "distances": (*_SAMPLE, "mixture.py", "distances.py"),
}


def code_hash(step: str) -> str:
    """Twelve hexadecimal digits over the modules of a step; training counts for the others too."""
    digest = hashlib.sha256()
    for name in MODULES[step]:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]
