"""The energy that this process took of the processor, where Linux counts it and may be asked.

Its counters (RAPL, in /sys/class/powercap, which many systems let only root read) are of whole
sockets. This process has the share of their energy that its processor time has of all processor
time meanwhile, so idle cores count for whoever works. Memory and accelerators are not in it.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path("/sys/class/powercap")
POLL = 60.0  # seconds between looks: counters begin again at 0, under load after some minutes


def processor_times(stat: Path = Path("/proc/stat")) -> tuple[float, float]:
    """Seconds of processor time so far: of this process, and of all."""
    fields = [int(word) for word in stat.read_text().split(maxsplit=8)[1:8]]
    user, nice, system, _idle, _iowait, irq, softirq = fields
    ticks = user + nice + system + irq + softirq
    return time.process_time(), ticks / os.sysconf("SC_CLK_TCK")


class Meter:
    """Counts from when it is made. root: the folder of the counters; times: of two clocks, this
    process's and all processes'."""

    def __init__(
        self, root: Path = ROOT, times: Callable[[], tuple[float, float]] = processor_times
    ) -> None:
        self._sockets = [name.parent for name in sorted(root.glob("*/name")) if _is_socket(name)]
        self._times, self._microjoules, self._lock = times, 0, threading.Lock()
        try:
            self._last, self._begin = self._now(), times()
        except (OSError, ValueError):
            self._sockets = []
        if self._sockets:
            threading.Thread(target=self._watch, daemon=True).start()

    def joules(self) -> float | None:
        """Of this process so far; None where nothing is counted or may be read."""
        if not self._sockets:
            return None
        try:
            self.look()
            own, every = (now - then for now, then in zip(self._times(), self._begin, strict=True))
        except (OSError, ValueError):
            return None
        return self._microjoules / 1e6 * (min(own / every, 1.0) if every > 0 else 1.0)

    def look(self) -> None:
        """Add what was counted since the last look."""
        with self._lock:
            now = self._now()
            for (before, _), (after, most) in zip(self._last, now, strict=True):
                self._microjoules += after - before if after >= before else after + most - before
            self._last = now

    def _now(self) -> list[tuple[int, int]]:
        """Of each socket the counter and the most that it can hold."""
        files = ("energy_uj", "max_energy_range_uj")
        return [
            (int((s / files[0]).read_text()), int((s / files[1]).read_text()))
            for s in self._sockets
        ]

    def _watch(self) -> None:
        while True:
            time.sleep(POLL)
            try:
                self.look()
            except (OSError, ValueError):
                return


def _is_socket(name: Path) -> bool:
    """Its parts, such as cores, are counted again in folders of their own."""
    try:
        return name.read_text().startswith("package")
    except OSError:
        return False
