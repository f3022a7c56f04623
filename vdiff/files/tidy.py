"""Reading and writing CSV of a schema, NPZ and JSON; the same content gives the same bytes."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from vdiff.errors import VdiffError
from vdiff.files.atomic import write_bytes
from vdiff.files.schemas import SCHEMAS


def write_csv(path: Path, rows: pd.DataFrame | Sequence[dict], schema: str) -> None:
    """Rows in the schema's column order; the same rows give the same bytes."""
    frame = pd.DataFrame(rows, columns=list(SCHEMAS[schema]))
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
    return frame[list(SCHEMAS[schema])]


def concatenate(paths: Sequence[Path], schema: str) -> pd.DataFrame:
    return pd.concat([read_csv(path, schema) for path in paths], ignore_index=True)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
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
