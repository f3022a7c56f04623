"""A vdiff command in a fork of a process that has imported already, or else in a new process.

python -I -S forked.py FOLDER OWNER PROGRAM WORDS...

FOLDER is where the fork servers (`forkserver.py`) of the process OWNER have their sockets, one for
each environment, umask, niceness, and set of limits and cores: a command runs in a fork only of a
process that was started as it would be. What it prints, its exit code and the signals sent to it
are as if it were this process. Imports little, since this runs once a job.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

CHANGING = {"_", "PWD", "OLDPWD", "SHLVL", "VDIFF_PROGRESS", "VDIFF_SERVERS"}
"""Environment variables that nothing reads when it is imported; shells set the first four anew."""
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(folder: str, owner: str, program: str, *words: str) -> None:
    for option, value in pairwise([*words, ""]):  # read when torch is imported
        if option.startswith("--threads"):
            os.environ["OMP_NUM_THREADS"] = option.partition("=")[2] or value
    try:
        server, process = _server(Path(folder), owner, program)
        with server:
            request = {"argv": [program, *words], "cwd": str(Path.cwd())}
            content = json.dumps({**request, "environ": dict(os.environ)}).encode()
            _go_on(process)
            socket.send_fds(server, [len(content).to_bytes(8, "big")], [0, 1, 2])
            server.sendall(content)
            pid = _line(server, process)
            if pid:
                _wait(int(pid), lambda: _line(server, process))
    except OSError:
        pass  # no server, and none can be started: a network file system without sockets, say
    os.execv(sys.executable, [sys.executable, "-P", program, *words])


def _server(folder: Path, owner: str, program: str) -> tuple[socket.socket, int]:
    """A connection to the server of this environment, which is started if there is none, and its
    process."""
    environ = sorted((k, v) for k, v in os.environ.items() if k not in CHANGING)
    umask = os.umask(0)
    os.umask(umask)
    kinds = sorted(name for name in vars(resource) if name.startswith("RLIMIT_"))
    limits = [resource.getrlimit(getattr(resource, name)) for name in kinds]
    scheduled = os.nice(0), sorted(os.sched_getaffinity(0))
    identity = json.dumps([sys.executable, program, environ, umask, limits, scheduled]).encode()
    name = f"{owner}-{hashlib.sha256(identity).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    here = os.open(".", os.O_RDONLY)
    os.chdir(folder)  # the name of a socket may have 107 bytes
    try:
        with Path(f"{name}.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(name)
            except (FileNotFoundError, ConnectionRefusedError):
                Path(name).unlink(missing_ok=True)
                lock.truncate(0)
                lock.write(str(_start(name, owner, program)))
                lock.flush()
                connection.connect(name)
            lock.seek(0)
            return connection, int(lock.read() or 0)
    finally:
        os.fchdir(here)


def _start(name: str, owner: str, program: str) -> int:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen(128)
        words = ["forkserver", str(listener.fileno()), owner, str(Path(name).resolve())]
        return subprocess.Popen(
            [sys.executable, "-P", program, *words], pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/",
        ).pid  # fmt: skip


def _line(server: socket.socket, process: int) -> str:
    """The next line that the server says, empty from one that is gone."""
    line = b""
    while not line.endswith(b"\n"):
        while not select.select([server], [], [], 1)[0]:
            _go_on(process)
        try:
            byte = server.recv(1)
        except OSError:
            return ""
        if not byte:
            return ""
        line += byte
    return line.decode()


def _go_on(process: int) -> None:
    """Wake a server that was stopped, as by SIGSTOP: its commands would wait for ever."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "T":
            os.kill(process, signal.SIGCONT)


def _wait(pid: int, status) -> None:
    """End as the fork ends; signals on the way there are its."""
    for one in FORWARDED:
        if signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, lambda number, frame: _send(pid, number))
    code = status()
    if not code:
        sys.exit("The process that started this command is gone, and the command with it.")
    if int(code) < 0:
        signal.signal(-int(code), signal.SIG_DFL)
        os.kill(os.getpid(), -int(code))
    os._exit(int(code))


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    main(*sys.argv[1:])
