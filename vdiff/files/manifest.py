"""What made a result: configuration, versions, commit, machine, command, checksum."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from vdiff.errors import VdiffError
from vdiff.files.codehash import code_hash
from vdiff.files.objects import read_json

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


def made_by() -> dict:
    """Versions, commit and machine."""
    return {
        "vdiff": {"version": version("vdiff"), **_commit()},
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "cpu": _cpu(), "cpus": os.cpu_count()},
    }


def manifest(
    config: dict, folder: Path, names: Sequence[str], steps: Sequence[str], rules: dict[str, str]
) -> dict:
    """What made a results folder: configuration, code and machine, and every result in it.

    names: the files of the folder to tell of. A result has its SHA-256 and, from the receipts
    beside the logs, the Snakemake rule, the command, the wall time in seconds, the device and the
    checksum of the data. steps: modules whose code hashes to tell. rules: patterns of log files
    to the names of their rules.
    """
    now = made_by()
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config,
        **now,
        "code": {step: code_hash(step) for step in steps},
        "results": _results(folder, names, rules, now),
    }


def _results(
    folder: Path, names: Sequence[str], rules: dict[str, str], now: dict
) -> dict[str, dict]:
    made: dict[Path, dict] = {}
    for path in sorted((folder / "logs").glob("*.json")):
        receipt = read_json(path)
        outputs = receipt.pop("outputs")
        # Versions are told once, except for results made with different ones.
        receipt = {key: value for key, value in receipt.items() if value != now.get(key)}
        log = path.with_suffix(".log").relative_to(folder).as_posix()
        fits = [pattern for pattern in rules if fnmatch(log, pattern)]
        receipt["rule"] = rules[max(fits, key=len)] if fits else None
        made |= {Path(name).resolve(): receipt for name in outputs}
    return {
        name: {**made.get((folder / name).resolve(), {}), "sha256": sha256(folder / name)}
        for name in sorted(names)
    }


def sha256(path: Path) -> str:
    """Of a file's content; raises VdiffError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VdiffError(f"{path} cannot be read: {error.strerror}.") from None


def _commit() -> dict:
    """The commit of the project's own checkout and whether it has changes, or nothing.

    The sources may lie unpacked inside another repository, whose commit is not theirs.
    """
    project = Path(__file__).parents[2]

    def git(*words: str) -> str:
        command = ["git", "-C", str(project), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != project.resolve():
            return {"commit": None, "dirty": None}
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
