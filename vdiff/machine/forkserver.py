"""A process that has imported what commands import, and forks for each of them.

Importing torch and what is around it takes seconds; a fork takes none. The processes of one run of
the pipeline share a server, which ends with the run. Nothing depends on it: `forked.py`
asks a server that was started in the command's own environment, or starts a process of its own; the
server imports and does nothing else, and ends once the code or what is installed has changed.
"""

import atexit
import contextlib
import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

PACKAGE = Path(__file__).parents[1]
OF_ALL = ("vdiff.cli", "vdiff.files.provenance", "vdiff.report.asked")
# The last two are imported in passing, by an optimiser's first step and the first tail of an error.
OF_STEPS = (
    "vdiff.steps.opening", "vdiff.machine.devices", "sklearn.datasets", "torch._dynamo",
    "arviz_stats.base",
)  # fmt: skip
OF_TORCH = ("vdiff.steps.", "vdiff.training.")
BESIDE = {
    "train": "training.job",
    "plot": "figures.style",
    "animate": "figures.animation",
    "claims": "stats.controls",
    "chunks": "scoring.chunks",
}
"""Commands to the modules that they import; that of a step has its name."""
PR_SET_PDEATHSIG = 1


def serve(
    listener: socket.socket, owner: int, address: Path, preloaded: Sequence[str] = OF_ALL
) -> None:
    """Fork for each command until the process `owner` ends; returns in the forks, each with its
    arguments, streams, folder and environment. preloaded: modules to import beside a command's."""
    code = _code()
    jobs: set[_Job] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        watched = os.pidfd_open(owner)
        selector.register(watched, selectors.EVENT_READ)
        serving = True
        while serving or jobs:
            for key, _ in selector.select():
                ended = key.fileobj == watched
                edited = key.fileobj is listener and _code() != code
                if serving and (ended or edited):
                    serving = False  # whoever asks next starts another server
                    selector.unregister(watched)
                    selector.unregister(listener)
                    address.unlink(missing_ok=True)
                    listener.close()
                    if ended:
                        Path(f"{address}.lock").unlink(missing_ok=True)
                if key.fileobj in (listener, watched) and not serving:
                    continue
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    request = _received(connection)
                    if request is None:
                        connection.close()
                        continue
                    _preload(request["argv"], preloaded)
                    gc.freeze()  # or a collection in a fork copies what it looks at
                    pid = os.fork()
                    if pid == 0:
                        for held in (listener, connection, *(job.connection for job in jobs)):
                            held.close()
                        _become(request)
                        return
                    for stream in request["streams"]:
                        os.close(stream)
                    _say(connection, pid)
                    job = _Job(connection, pid, os.pidfd_open(pid))
                    jobs.add(job)
                    for end in (job.connection, job.ended):
                        selector.register(end, selectors.EVENT_READ, job)
                elif key.data not in jobs:
                    continue  # its fork and whoever asked for it ended at once
                elif key.fileobj == key.data.ended:
                    jobs.remove(key.data)
                    key.data.finish(selector)
                else:  # whoever asked was killed
                    selector.unregister(key.fileobj)
                    signal.pidfd_send_signal(key.data.ended, signal.SIGKILL)
    os._exit(0)


class _Job(NamedTuple):
    """A fork at work: the connection to whoever asked for it, and a pidfd that tells of its end."""

    connection: socket.socket
    pid: int
    ended: int

    def finish(self, selector: selectors.BaseSelector) -> None:
        """Tell how it ended."""
        _say(self.connection, os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))
        for end in (self.ended, self.connection):
            with contextlib.suppress(KeyError):  # a killed client's is no longer watched
                selector.unregister(end)
        os.close(self.ended)
        self.connection.close()


def _received(connection: socket.socket) -> dict[str, Any] | None:
    """A request with its three streams, or None of one that ended before it was complete."""
    connection.settimeout(10)
    try:
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        content = connection.makefile("rb").read(int.from_bytes(head, "big"))
        request = json.loads(content)
    except (OSError, ValueError):
        return None
    connection.settimeout(None)
    return {**request, "streams": streams}


def _say(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(f"{number}\n".encode())


def _preload(argv: list[str], preloaded: Sequence[str]) -> None:
    """Import what a command is going to import, and read the code that its hash is of; what cannot
    be is its own to say."""
    command = next((word for word in argv[1:] if word.isidentifier()), "")
    name = f"vdiff.{BESIDE.get(command, f'steps.{command}')}"
    modules = list(preloaded)
    known = bool(preloaded and command and find_spec(name))
    if known:
        modules += [*(OF_STEPS if name.startswith(OF_TORCH) else ()), name]
    for module in modules:
        with contextlib.suppress(Exception):
            import_module(module)
    if known:
        with contextlib.suppress(Exception):
            import_module("vdiff.files.codehash").code_hash(name.removeprefix("vdiff."))


def _become(request: dict[str, Any]) -> None:
    """Make a fork the process that was asked for; it dies with the server."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number, stream in enumerate(request["streams"]):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]


def run(command: Callable[[], None]) -> NoReturn:
    """A fork's command, and then its end: as that of any process, but without taking the
    interpreter to pieces, for which each page of memory that forks share would be copied."""
    code: object = 1
    try:
        command()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def _code() -> list[tuple[str, int, int]]:
    """Every module of the package, and the folder of installed packages, with time stamp and size;
    what is not there, such as an editor's link to nowhere, is left out."""
    found = []
    for path in (Path(sysconfig.get_path("purelib")), *PACKAGE.rglob("*.py")):
        with contextlib.suppress(OSError):
            stat = path.stat()
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return sorted(found)
