"""Being asked to stop: by a signal, or by the end of a time slice."""

import math
import signal
import time
from types import FrameType

from vdiff.errors import VdiffError


class Stopped(VdiffError):
    """The run was asked to stop and has saved its state at an iteration."""

    def __init__(self, why: str, iteration: int) -> None:
        super().__init__(
            f"Stopped by {why} at iteration {iteration}; state saved, run again to resume."
        )
        self.iteration = iteration


SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
]
"""Of a scheduler, of the keyboard, of a terminal that is closed."""


def _heeded(number: signal.Signals) -> bool:
    """SIGHUP stays ignored where nohup has it ignored."""
    return number in SIGNALS[:2] or signal.getsignal(number) is not signal.SIG_IGN


class Stop:
    """Inside the context, notes SIGNALS and the end of a slice, for a loop to ask."""

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
        self._before = {s: signal.signal(s, self._note) for s in SIGNALS if _heeded(s)}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number).name

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
