"""What made a result: a hash of the modules that change it, and a manifest for people.

The pipeline hands these hashes to its rules, so that editing a figure never trains again.
"""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "torchdiffeq",
    "snakemake",
)

_TRAIN = (
    "tensors.py", "seeds.py", "sde.py", "times.py", "reverse.py", "dsm.py", "elbo.py", "bits.py",
    "data.py", "batches.py", "parallel.py", "precision.py", "nets/mlp.py", "nets/unet.py",
    "train.py",
)  # fmt: skip
_EVALUATE = ("control.py", "divergence.py", "elbo.py", "times.py", "precision.py", "evaluate.py")
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
    "claims": ("claims.py", "distances.py"),
    "distances": (*_SAMPLE, "mixture.py", "distances.py"),
}


def code_hash(step: str) -> str:
    """Twelve hexadecimal digits over the modules of a step; training counts for the others too."""
    digest = hashlib.sha256()
    for name in MODULES[step]:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]


def manifest(config: dict) -> dict:
    """Configuration, versions, commit and machine, for the report."""
    return {
        "config": config,
        "vdiff": {"version": version("vdiff"), **_commit()},
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cpu": _cpu(), "cpus": os.cpu_count()},
        "code": {step: code_hash(step) for step in MODULES},
    }


def _commit() -> dict:
    """The commit of the checkout and whether it has changes; nothing outside a checkout."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
