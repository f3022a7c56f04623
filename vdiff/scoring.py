"""Scores of many examples by a wrapped model, kept as they come: a killed run goes on."""

import hashlib
import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdiff.errors import VdiffError, first_line
from vdiff.files.tidy import read_npz, write_npz
from vdiff.likelihood.model import Model
from vdiff.machine.progress import bar

CHUNK = 256  # examples whose scores are kept at once
COLUMNS = ("log_prob", "std_err", "bpd", "bpd_std_err")


def model_of(spec: str, device: str = "cpu") -> tuple[Model, str]:
    """(model, checksum) of FILE.py:FUNCTION, which returns what `vdiff.wrap` does, or of a folder
    that diffusers wrote, whose network goes to the device; FUNCTION is told it if it takes a
    `device`. Raises VdiffError for what is neither."""
    file, _, function = spec.rpartition(":")
    if file.endswith(".py"):
        path = Path(file)
        try:
            text = path.read_bytes()
            loader = importlib.util.spec_from_file_location("vdiff_model", path)
            assert loader is not None and loader.loader is not None
            module = importlib.util.module_from_spec(loader)
            loader.loader.exec_module(module)
            make = getattr(module, function)
            takes = "device" in inspect.signature(make).parameters
            made = make(device=device) if takes else make()
        except VdiffError:
            raise
        except Exception as error:  # whatever another's code raises
            kind = type(error).__name__
            raise VdiffError(f"{spec} gives no model: {kind}, {first_line(error)}.") from None
        if not isinstance(made, Model):
            raise VdiffError(
                f"{spec} gives a {type(made).__name__}; it must give what vdiff.wrap returns."
            )
        return made, hashlib.sha256(text).hexdigest()
    folder = Path(spec)
    if not folder.is_dir():
        raise VdiffError(f"The model is {spec!r}; it must be FILE.py:FUNCTION or a folder.")
    from vdiff.adapters.diffusers import from_folder

    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return from_folder(folder, device=device), digest.hexdigest()


def examples_of(path: Path) -> torch.Tensor:
    """The array x of an NPZ file; raises VdiffError where there is none."""
    x = read_npz(path, "x")["x"]
    try:
        return torch.from_numpy(x)
    except TypeError:
        raise VdiffError(f"{path}: x is {x.dtype}; it must hold numbers.") from None


def scores(model: Model, checksum: str, files: list[Path], part: Path, draws: int) -> list[dict]:
    """Rows of the schema scores for the examples of all files, in order. What is done is kept in
    `part`, and used again where model, data and draws are the same."""
    data = [examples_of(path) for path in files]
    for path, x in zip(files, data, strict=True):
        try:
            model.space.examples(x)
        except VdiffError as error:
            raise VdiffError(f"{path}: {error}") from None
    identity = hashlib.sha256(f"{checksum} {draws} {CHUNK}".encode())
    for x in data:
        identity.update(x.numpy().tobytes())
    key = np.frombuffer(identity.digest(), np.uint8)
    done = _kept(part, key)
    everything = torch.cat(data)
    with bar(len(everything), "score", initial=len(done), unit="example") as progress:
        for start in range(len(done), len(everything), CHUNK):
            found = model.log_prob(everything[start : start + CHUNK], draws=draws)
            done = np.concatenate([done, found.to_pandas()[list(COLUMNS)].to_numpy()])
            write_npz(part, key=key, done=done)
            progress.update(len(found))
    who = [(str(p), k) for p, x in zip(files, data, strict=True) for k in range(len(x))]
    return [
        {"file": file, "example": k, **dict(zip(COLUMNS, row, strict=True))}
        for (file, k), row in zip(who, done.tolist(), strict=True)
    ]


def _kept(part: Path, key: np.ndarray) -> np.ndarray:
    """Scores (n, 4) that an earlier run of the same kept, or none."""
    if part.exists():
        kept: dict[str, Any] = read_npz(part, "key", "done")
        if np.array_equal(kept["key"], key):
            return kept["done"]
    return np.zeros((0, len(COLUMNS)))
