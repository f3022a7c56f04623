"""Reading and writing JSON objects; the same content gives the same bytes."""

import json
from pathlib import Path

from vdiff.errors import VdiffError, first_line
from vdiff.files.atomic import write_bytes


def write_json(path: Path, content: dict) -> None:
    write_bytes(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> dict:
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise VdiffError(f"{path} cannot be read: {first_line(error)}.") from None
