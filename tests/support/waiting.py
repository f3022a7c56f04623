"""A command that waits, in a fork of a server that has imported nothing.

python waiting.py forkserver ...     the server, as vdiff/machine/forked.py starts it
python waiting.py FILE SECONDS       makes FILE and waits; says so when it is asked to stop
"""

import signal
import sys
import time
from pathlib import Path
from socket import socket

sys.path.insert(0, str(Path(__file__).parents[2]))

from vdiff.machine.forkserver import run, serve


def stop(number, frame):
    sys.exit("Stopped")


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    Path(sys.argv[1]).touch()
    time.sleep(float(sys.argv[2]))


if __name__ == "__main__":
    if sys.argv[1] == "forkserver":
        serve(socket(fileno=int(sys.argv[2])), int(sys.argv[3]), Path(sys.argv[4]), ())
        run(main)
    main()
