#!/usr/bin/env bash
# Snakemake's scheduler wakes up once a second more for every job that it has finished, as long as
# other jobs are ready and wait for a core: after 100 jobs 100 times a second, each time to find
# that nothing can start. Its limit of jobs per timespan (100/1s where none is given) sets a timer
# for each look at the jobs, each timer ends in such a look, and each finished job adds one. Before
# it exits it waits for all timers. Seen in Snakemake 9.27.1. It meets whoever runs more jobs than
# cores. vdiff's own profile sets a timespan of 2 seconds: half the wakes, and an exit that is a
# second later.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# shellcheck disable=SC2086 # options are words
"$folder/venv/bin/pip" install --quiet ${PIP_ARGS:-} \
    snakemake==9.27.1 psutil==7.2.2
cat >"$folder/Snakefile" <<'END'
rule all:
    input:
        "threads",
        expand("waiting{i}", i=range(3)),


rule quick:
    output:
        touch("quick{i}"),
    priority: 2


rule long:
    input:
        expand("quick{i}", i=range(int(config["quick"]))),
    output:
        "threads",
    priority: 1
    shell:
        "sleep 10; touch {output}"


rule waiting:
    output:
        touch("waiting{i}"),
END
"$folder/venv/bin/python" - "$folder" <<'END'
import subprocess
import sys
import time
from pathlib import Path

import psutil

home = Path(sys.argv[1])


def load(quick, *options):
    """Percent of a core that Snakemake takes in 8 of the 10 s in which one job sleeps and three
    wait for its core, after so many quick ones; and the seconds from that job's end to the exit."""
    folder = home / f"{quick}-{len(options)}"
    folder.mkdir()
    command = [sys.executable, "-m", "snakemake", "--snakefile", home / "Snakefile", "--cores", "1",
               "--config", f"quick={quick}", *options]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    snakemake = psutil.Process(process.pid)
    while not any(c.name() == "sleep" for c in snakemake.children(recursive=True)):
        time.sleep(0.05)
    time.sleep(1)
    before = sum(snakemake.cpu_times()[:2])
    time.sleep(8)
    taken = sum(snakemake.cpu_times()[:2]) - before
    process.wait(120)
    return 100 * taken / 8, time.time() - (folder / "threads").stat().st_mtime


few, many, rarer = load(2), load(200), load(200, "--max-jobs-per-timespan", "100/10s")
print("expected: while all cores are taken, Snakemake sleeps, however many jobs it has run")
print(f"after 2 jobs: {few[0]:.1f}% of a core, exit {few[1]:.1f} s after the long job's end")
print(f"after 200 jobs: {many[0]:.1f}% of a core, exit after {many[1]:.1f} s")
print(f"the same with 100/10s: {rarer[0]:.1f}% of a core, exit after {rarer[1]:.1f} s")
# Seen: 0.5%, 1.9 s; 15.6%, 2.0 s; 1.9%, 10.8 s.
sys.exit(0 if many[0] > 4 * max(few[0], rarer[0]) else "no longer as described")
END
