"""Reading and writing CSV of a schema and NPZ; the same content gives the same bytes."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vdiff.errors import VdiffError, first_line
from vdiff.files.atomic import write_bytes

if TYPE_CHECKING:
    import pandas as pd


def write_csv(path: Path, rows: "pd.DataFrame | Sequence[dict]", schema: str) -> None:
    """Rows in the schema's column order; the same rows give the same bytes."""
    import pandas as pd

    from vdiff.files.schemas import SCHEMAS

    frame = pd.DataFrame(rows, columns=list(SCHEMAS[schema]))
    write_bytes(path, frame.to_csv(index=False, lineterminator="\n").encode())


def write_columns(path: Path, columns: Mapping[str, list]) -> None:
    """The same of columns of one length, to the same bytes, without pandas."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow("" if value != value else value for value in row)
    write_bytes(path, buffer.getvalue().encode())


def read_csv(path: Path, schema: str) -> "pd.DataFrame":
    """A tidy CSV; raises VdiffError when it is absent, damaged or of another schema."""
    import pandas as pd

    from vdiff.files.schemas import SCHEMAS, TEXT

    try:
        words = dict.fromkeys(TEXT, str)  # an arm may be called None, 16 or 1e-3
        frame = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=_missing(path))
    except Exception as error:  # a damaged file can make the parser raise anything
        raise VdiffError(f"{path} cannot be read: {first_line(error)}.") from None
    missing = [column for column in SCHEMAS[schema] if column not in frame]
    if missing:
        raise VdiffError(f"{path} lacks the column {missing[0]} of the schema {schema}.")
    if frame.empty and schema not in ("claims", "controls"):  # a preset may test none
        raise VdiffError(f"{path} has no rows below its header.")
    for column in set(SCHEMAS[schema]) - TEXT if len(frame) else ():
        if not pd.api.types.is_numeric_dtype(frame[column]):  # truth values count as numbers
            raise VdiffError(f"{path} has words in the column {column}, which holds numbers.")
    return frame[list(SCHEMAS[schema])]


def _missing(path: Path) -> dict[str, list[str]]:
    """What stands for no number, by column; words are taken as they are."""
    import pandas as pd

    from vdiff.files.schemas import TEXT

    header = pd.read_csv(path, nrows=0).columns
    return {column: ["", "nan", "NaN"] for column in header if column not in TEXT}


def concatenate(paths: Sequence[Path], schema: str) -> "pd.DataFrame":
    import pandas as pd

    return pd.concat([read_csv(path, schema) for path in paths], ignore_index=True)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def read_npz(path: Path, *required: str) -> dict[str, np.ndarray]:
    """All arrays of an NPZ file; raises VdiffError when it is damaged or lacks a required one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged file can make the parser raise anything
        raise VdiffError(f"{path} cannot be read as an NPZ file: {first_line(error)}.") from None
    missing = [name for name in required if name not in arrays]
    if missing:
        raise VdiffError(f"{path} lacks the array {missing[0]}; it is of another kind.")
    return arrays
