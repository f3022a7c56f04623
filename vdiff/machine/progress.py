"""Progress bars: live on a terminal, one line now and then elsewhere (logs, parallel jobs)."""

import os
import sys
from typing import Any


class _Lines:
    """A stream in which each redrawn bar becomes a line of its own."""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text:
            sys.stderr.write(text + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


class _Silent:
    """What shows nothing, and needs nothing that is not always installed."""

    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *error: object) -> None: ...

    def update(self, n: int = 1) -> None: ...

    def set_postfix_str(self, text: str, refresh: bool = True) -> None: ...


def bar(
    total: int, description: str, initial: int = 0, unit: str = "it", silent: bool = False
) -> Any:
    """A bar of tqdm's with rate and ETA, if that is installed; VDIFF_PROGRESS=lines forces lines,
    none silences it."""
    kind = os.environ.get("VDIFF_PROGRESS", "bar" if sys.stderr.isatty() else "lines")
    if silent or kind == "none":
        return _Silent()
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return _Silent()
    lines = kind == "lines"
    return tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        file=_Lines() if lines else sys.stderr,
        mininterval=5 if lines else 0.2,
        ascii=lines,
        ncols=110 if lines else None,
        dynamic_ncols=not lines,
    )
