"""Tidy files: column schemas, and atomic reading and writing of CSV, NPZ and JSON.

A file is written under a temporary name in its own folder, synced and renamed, so that readers
see all of it or nothing. The schemas are documented for users in results/README.md.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from vdiff.errors import VdiffError

RUN = ["experiment", "debias", "seed"]
SCHEMAS = {
    "train": [*RUN, "iteration", "loss", "train_bpd"],
    "snapshots": [*RUN, "iteration", "shape", "path", "sha256"],
    "evaluation": [
        *RUN, "estimator", "iteration", "bpd", "bpd_std_err", "se_test", "se_mc",
        "images", "passes", "network_evaluations",
    ],
    "curves": [
        "experiment", "debias", "estimator", "iteration", "bpd", "se_test", "se_seeds", "seeds",
    ],
    "differences": [
        "experiment", "seed", "estimator", "iteration", "difference", "std_err", "se_mc",
        "log_sd_ratio", "log_sd_ratio_std_err",
    ],
    "samples": [*RUN, "sampler", "lmbd", "steps", "images", "pixels_below", "pixels_above"],
    "trajectory": [
        "experiment", "debias", "seed", "lmbd", "step", "samples", "outside", "mean_x", "mean_y",
        "var_x", "var_y",
    ],
    "likelihood": [
        *RUN, "iteration", "images", "bpd_ode", "bpd_ode_std_err", "bpd_elbo", "bpd_elbo_std_err",
        "gap", "gap_std_err", "trace", "tolerance", "change", "evaluations",
    ],
    "variance_time": [
        *RUN, "estimator", "time_low", "time_high", "draws", "variance", "variance_std_err",
    ],
    "gradient": [
        *RUN, "iteration", "law", "batches", "batch_size", "cosine", "cosine_std_err",
        "relative_bias", "relative_bias_std_err", "relative_variance", "relative_variance_std_err",
    ],
    "comparison": [*RUN, "estimator", "iteration", "difference", "std_err", "se_mc"],
    "claims": [
        "claim", "where", "experiment", "published", "ours", "low", "high", "unit", "p_true",
        "p_false", "verdict", "why",
    ],
    "distances": [
        *RUN, "source", "sampler", "lmbd", "steps", "reference", "metric", "distance", "low",
        "high", "p_value", "null_mean", "samples",
    ],
}  # fmt: skip


WRITTEN: ContextVar[dict[str, str]] = ContextVar("WRITTEN")
"""Path to SHA-256 of what a command has written, for its record."""


def write_bytes(path: Path, content: bytes) -> None:
    """Atomic and durable; raises VdiffError when the folder is full or not writable."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False
        ) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise VdiffError(f"{path} cannot be written: {error.strerror}.") from None
    WRITTEN.get({})[str(path)] = hashlib.sha256(content).hexdigest()


def write_csv(path: Path, rows: pd.DataFrame | Sequence[dict], schema: str) -> None:
    """Rows in the schema's column order; the same rows give the same bytes."""
    frame = pd.DataFrame(rows, columns=SCHEMAS[schema])
    write_bytes(path, frame.to_csv(index=False, lineterminator="\n").encode())


def read_csv(path: Path, schema: str) -> pd.DataFrame:
    """A tidy CSV; raises VdiffError when it is absent, damaged or of another schema."""
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise VdiffError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from None
    missing = [column for column in SCHEMAS[schema] if column not in frame]
    if missing:
        raise VdiffError(f"{path} lacks the column {missing[0]} of the schema {schema}.")
    return frame[SCHEMAS[schema]]


def concatenate(paths: Sequence[Path], schema: str) -> pd.DataFrame:
    return pd.concat([read_csv(path, schema) for path in paths], ignore_index=True)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise VdiffError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from None


def write_json(path: Path, content: dict) -> None:
    write_bytes(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> dict:
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise VdiffError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from None
