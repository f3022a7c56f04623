"""Where a user's data are, on this machine or on another."""

from pathlib import Path


def file_of(dataset: str, root: Path) -> Path:
    """The file of npz:PATH; where PATH is of another machine, that of its name in the data root."""
    path = Path(dataset.removeprefix("npz:"))
    return path if path.exists() or not (root / path.name).exists() else root / path.name
