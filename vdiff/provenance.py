"""What made a result: a hash of the modules that change it, and a manifest for people.

The pipeline hands these hashes to its rules, so that editing a figure never trains again.
"""

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from vdiff.tidy import read_json

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
    "data.py", "batches.py", "parallel.py", "precision.py", "devices.py",
    "nets/mlp.py", "nets/unet.py", "train.py",
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


def made_by() -> dict:
    """Versions, commit and machine."""
    return {
        "vdiff": {"version": version("vdiff"), **_commit()},
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cpu": _cpu(), "cpus": os.cpu_count()},
    }


def manifest(config: dict, folder: Path | None = None, rules: dict[str, str] | None = None) -> dict:
    """What made a results folder: configuration, code and machine, and every result in it.

    A result has its SHA-256 and, from the records beside the logs, the Snakemake rule, the
    command, the wall time in seconds, the device and the checksum of the data. rules: patterns
    of log files to the names of their rules.
    """
    now = made_by()
    found = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config,
        **now,
        "code": {step: code_hash(step) for step in MODULES},
    }
    if folder is not None:
        found["results"] = _results(folder, rules or {}, now)
    return found


LEFT_OUT = ("state", "logs", "benchmarks")  # weights, and what is about this machine only
LATER = ("manifest.json", "report.html")  # made from the manifest


def result_files(folder: Path) -> list[Path]:
    """What of a results folder is worth keeping, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if path.relative_to(folder).parts[0] not in LEFT_OUT]


def _results(folder: Path, rules: dict[str, str], now: dict) -> dict[str, dict]:
    made = {}
    for path in sorted((folder / "logs").glob("*.json")):
        record = read_json(path)
        outputs = record.pop("outputs")
        # Versions are told once, unless a result was made by others.
        record = {key: value for key, value in record.items() if value != now.get(key)}
        log = str(path.with_suffix(".log"))
        fits = [pattern for pattern in rules if fnmatch(log, pattern)]
        record["rule"] = rules[max(fits, key=len)] if fits else None
        made |= {Path(name).resolve(): record for name in outputs}
    return {
        str(path.relative_to(folder)): {**made.get(path.resolve(), {}), "sha256": sha256(path)}
        for path in result_files(folder)
        if path.name not in LATER
    }


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
