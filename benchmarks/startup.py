"""What starting a job costs: each command as a process of its own and as a fork, side by side.

python benchmarks/startup.py [--repeats=5] [--preset=smoke] [--only=train,plot]

Measured is `vdiff COMMAND --help` with the modules imported that the command computes with. The
last lines are a preset's jobs times these.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from vdiff.config import load_config
from vdiff.config.specs import SPECS
from vdiff.figures.registry import FIGURES
from vdiff.files import layout

PACKAGE = Path(__file__).parents[1] / "vdiff"
COLD = """import sys
sys.path.insert(0, sys.argv[1])
from vdiff.machine import forkserver
forkserver._preload(sys.argv[2:], forkserver.OF_ALL)
from vdiff.cli import main
sys.argv = sys.argv[2:]
main()
"""


def jobs(preset: str) -> Counter[str]:
    """Commands of a whole run of a preset."""
    config = load_config({"preset": preset})
    found: Counter[str] = Counter()
    runs = layout.runs(config)
    found.update(configure=len(runs), train=len(runs), describe=1, curves=1, claims=1)
    found.update(manifest=1, report=1, difference=len(layout.pairs(config)))
    found.update(aggregate=len(layout.parts(config)))
    for spec in SPECS.values():
        found[spec.name] += len(list(layout.jobs(config, spec)))
    for figure in FIGURES.values():
        found["animate" if figure.moving else "plot"] += len(figure.names(config))
    return +found


def seconds(command: list[str], repeats: int) -> float:
    """The median over some starts."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--only", help="Commands, with commas; all of the preset by default.")
    options = parser.parse_args()
    program, found = str(PACKAGE / "__main__.py"), jobs(options.preset)
    if options.only:
        found = Counter({command: found[command] for command in options.only.split(",")})
    with tempfile.TemporaryDirectory() as sockets:
        client = [sys.executable, "-I", "-S", str(PACKAGE / "machine" / "forked.py")]
        client += [sockets, str(os.getpid()), program]
        plain = seconds([sys.executable, "-P", program, "--help"], options.repeats)
        print("| command | jobs | process, s | fork, s | ratio |\n|---|---|---|---|---|")
        print(f"| --help | | {plain:.2f} | | |")
        total = [0.0, 0.0]
        for command, n in found.items():
            words = [command, "--help"]
            cold = [sys.executable, "-P", "-c", COLD, str(PACKAGE.parent), program, *words]
            process = seconds(cold, options.repeats)
            subprocess.run([*client, *words], check=True, capture_output=True)  # imports
            fork = seconds([*client, *words], options.repeats)
            total = [total[0] + n * process, total[1] + n * fork]
            print(f"| {command} | {n} | {process:.2f} | {fork:.2f} | {process / fork:.0f} |")
        print(f"| all | {sum(found.values())} | {total[0]:.0f} | {total[1]:.0f} | ", end="")
        print(f"{total[0] / total[1]:.0f} |")


if __name__ == "__main__":
    main()
