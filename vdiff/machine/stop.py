"""Being asked to stop: by a signal, or by the end of a time slice."""

import math
import signal
import time
from types import FrameType

from vdiff.errors import VdiffError


class Stopped(VdiffError):
    """The run was asked to stop and has saved its state."""


class Stop:
    """Inside the context, notes SIGTERM and SIGINT and the end of a slice, for a loop to ask."""

    def __init__(self, slice_minutes: float | None = None) -> None:
        self.signal: str | None = None
        self.end = math.inf if slice_minutes is None else time.monotonic() + 60 * slice_minutes

    @property
    def asked(self) -> bool:
        return self.signal is not None or time.monotonic() > self.end

    @property
    def why(self) -> str:
        return self.signal or "the end of its time slice"

    def __enter__(self) -> "Stop":
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number).name

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
