"""A vdiff command in a fork of a process that has imported already, or else in a new process.

python -I -S forked.py FOLDER OWNER PROGRAM WORDS...

FOLDER is where the fork servers (`forkserver.py`) of the process OWNER have their sockets, one for
each environment: a command runs in a fork only of a process that was started as it would be. What
it prints, its exit code and the signals sent to it are as if it were this process. Imports little,
since this runs once a job.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

CHANGING = {"_", "PWD", "OLDPWD", "SHLVL"}
"""Environment variables that shells set anew, and that nothing reads when it is imported."""
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(folder: str, owner: str, program: str, *words: str) -> None:
    for option, value in pairwise([*words, ""]):  # read when torch is imported
        if option.startswith("--threads"):
            os.environ["OMP_NUM_THREADS"] = option.partition("=")[2] or value
    try:
        with _server(Path(folder), owner, program) as server:
            request = {"argv": [program, *words], "cwd": str(Path.cwd())}
            content = json.dumps({**request, "environ": dict(os.environ)}).encode()
            socket.send_fds(server, [len(content).to_bytes(8, "big")], [0, 1, 2])
            server.sendall(content)
            replies = server.makefile()
            pid = replies.readline()
            if pid:
                _wait(int(pid), replies.readline)
    except OSError:
        pass  # no server, and none can be started: a network file system without sockets, say
    os.execv(sys.executable, [sys.executable, "-P", program, *words])


def _server(folder: Path, owner: str, program: str) -> socket.socket:
    """A connection to the server of this environment, which is started if there is none."""
    environ = sorted((k, v) for k, v in os.environ.items() if k not in CHANGING)
    identity = json.dumps([sys.executable, program, environ]).encode()
    name = f"{owner}-{hashlib.sha256(identity).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    here = os.open(".", os.O_RDONLY)
    os.chdir(folder)  # the name of a socket may have 107 bytes
    try:
        with Path(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(name)
            except (FileNotFoundError, ConnectionRefusedError):
                Path(name).unlink(missing_ok=True)
                _start(name, owner, program)
                connection.connect(name)
        return connection
    finally:
        os.fchdir(here)


def _start(name: str, owner: str, program: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen(128)
        words = ["forkserver", str(listener.fileno()), owner, str(Path(name).resolve())]
        subprocess.Popen(
            [sys.executable, "-P", program, *words], pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/",
        )  # fmt: skip


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
