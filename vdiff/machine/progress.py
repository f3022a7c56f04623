"""Progress bars: live on a terminal, one line now and then elsewhere (logs, parallel jobs)."""

import os
import sys

from tqdm import tqdm


class _Lines:
    """A stream in which each redrawn bar becomes a line of its own."""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text:
            sys.stderr.write(text + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def bar(
    total: int, description: str, initial: int = 0, unit: str = "it", silent: bool = False
) -> tqdm:
    """A bar with rate and ETA; VDIFF_PROGRESS=lines forces lines, none silences it."""
    kind = os.environ.get("VDIFF_PROGRESS", "bar" if sys.stderr.isatty() else "lines")
    lines = kind == "lines"
    return tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        disable=silent or kind == "none",
        file=_Lines() if lines else sys.stderr,
        mininterval=5 if lines else 0.2,
        ascii=lines,
        ncols=110 if lines else None,
        dynamic_ncols=not lines,
    )
