"""The pipeline on a real Slurm of one node, undisturbed and through every fault that a queue has.

Marked cluster: needs root on Debian, for slurm.sh beside this file. Every fault ends with the
tables of an undisturbed local run, byte for byte.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.pipeline import copy_project, environment

pytestmark = pytest.mark.cluster
SCRIPT = Path(__file__).with_name("slurm.sh")
SLURM = ["--profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "2"]
SLURM += ["--seconds-between-status-checks", "2", "--latency-wait", "5"]
# Some 10 seconds of training, with a state every half of one.
LONG = """
only: [swissroll]
experiments:
  swissroll:
    training: {{iterations: {iterations}, log_every: 500, snapshot_every: 3000,
               checkpoint_every: 250}}
"""
TRAIN = "results/smoke/train.csv"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The folder of a running Slurm."""
    if os.getuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("needs root on Debian, to install and start Slurm")
    installed = subprocess.run([SCRIPT, "install"], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"needs Slurm: {installed.stderr.strip()}")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPT, "start", folder], check=True)
    yield folder
    subprocess.run([SCRIPT, "stop", folder], check=True)


def project_in(folder, iterations=6000):
    copy_project(folder, own_code=True)
    (folder / "long.yaml").write_text(LONG.format(iterations=iterations))
    return folder


def launch(folder, *words):
    """Snakemake on its own, its output in a file."""
    command = [sys.executable, "-m", "snakemake", *words, "--config", "preset=smoke", "device=cpu"]
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def finish(process, folder, code=0):
    assert process.wait(timeout=1500) == code, (folder / "output.txt").read_text()[-6000:]


def train(folder, *words):
    return launch(folder, TRAIN, *SLURM, "--configfile", "long.yaml", *words)


def training_pids(folder):
    """The processes of `vdiff train` that run in a project's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            inside = (entry / "cwd").resolve() == folder
        except OSError:
            continue
        ours = any(word.endswith(b"vdiff/__main__.py") for word in words)
        if inside and ours and b"train" in words and words[0].endswith(b"python"):
            found.append(int(entry.name))
    return found


def until(condition, seconds=300, every=0.2):
    """Wait for a true value of condition(), and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"nothing after {seconds} s: {condition}")


def has_state(folder):
    return list(folder.glob("results/smoke/state/**/checkpoint-*.pt"))


def running(folder):
    """The process of a training that has saved a state and goes on."""
    return until(lambda: has_state(folder) and training_pids(folder))


def resumed_at(folder):
    """The iteration that the last try began with."""
    text = (folder / "results/smoke/logs/swissroll-debias-False-seed-0-train.log").read_text()
    return int(re.search(r"Resuming at iteration (\d+)", text)[1])


def slurm_jobs(*states):
    words = ["squeue", "--noheader", "--format=%i", "--states", ",".join(states)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def released(job):
    """Let a requeued job start at once; Slurm would make it wait two minutes."""
    now = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
    until(lambda: job in slurm_jobs("PENDING"))
    subprocess.run(now, check=True)


def same_tables(folder, other, names):
    for name in names:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The training of the faults, local and left alone."""
    folder = project_in(tmp_path_factory.mktemp("undisturbed"))
    finish(launch(folder, TRAIN, "--cores", "1", "--configfile", "long.yaml"), folder)
    return folder


def same_training(folder, undisturbed):
    snapshots = "results/smoke/runs/swissroll/debias-False/seed-0/snapshots.csv"
    same_tables(folder, undisturbed, [TRAIN, snapshots])


def resumes(process, folder, undisturbed):
    """See the training end as if undisturbed; returns the iteration, not 0, it went on from."""
    finish(process, folder)
    same_training(folder, undisturbed)
    iteration = resumed_at(folder)
    assert iteration > 0
    return iteration


def test_the_whole_dag_gives_the_tables_of_a_local_run(tmp_path, slurm, fault):
    local, cluster = tmp_path / "local", tmp_path / "cluster"
    for folder in (local, cluster):
        folder.mkdir()
        copy_project(folder, own_code=True)
        (folder / "few.yaml").write_text("only: [digits]\nexperiments: {digits: {seeds: [0]}}\n")
    finish(launch(local, "--cores", "2", "--configfile", "few.yaml"), local)
    finish(launch(cluster, *SLURM, "--configfile", "few.yaml"), cluster)
    tables = [path.relative_to(local) for path in local.glob("results/smoke/**/*.csv")]
    assert len(tables) > 15
    same_tables(cluster, local, tables)
    submitted = set(re.findall(r"submitted with SLURM jobid", (cluster / "output.txt").read_text()))
    assert submitted
    fault("none", f"{len(tables)} tables as from a local run")


def test_two_processes_share_a_training(tmp_path, slurm, undisturbed, fault):
    """By the key gpus, in one job and one task; on one CPU, as the node has no more for sure."""
    folder = project_in(tmp_path, iterations=2000)
    with (folder / "long.yaml").open("a") as file:
        file.write("gpus: 2\n")
    finish(train(folder, "--set-threads", "train=1"), folder)
    rows, theirs = ((f / TRAIN).read_text().splitlines() for f in (folder, undisturbed))
    assert len(rows) == 1 + 4
    losses = [[float(row.split(",")[5]) for row in each[1:5]] for each in (rows, theirs)]
    assert all(abs(a - b) < 1e-3 * b for a, b in zip(*losses, strict=True))
    fault("none, two processes", "the losses of one process")


def test_sigkill_of_the_training(tmp_path, slurm, undisturbed, fault):
    folder = project_in(tmp_path)
    process = train(folder)
    for pid in running(folder):
        os.kill(pid, signal.SIGKILL)
    at = resumes(process, folder, undisturbed)
    fault("SIGKILL of the training in its job", f"retried, resumed at {at}")


def warned(pid):
    """Whether a process that is stopped has a SIGTERM to see to."""
    try:
        pending = re.search(r"ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())[1]
    except FileNotFoundError:  # Slurm was quicker, and ended it
        return True
    return int(pending, 16) >> (signal.SIGTERM - 1) & 1


@pytest.mark.long  # of minutes, and at the mercy of a loaded machine: by hand, with -m cluster
def test_the_time_limit_with_its_warning(tmp_path, slurm, undisturbed, fault):
    """The profile asks for a warning two minutes before the end: a job that trains is given less
    than that. Slurm looks every 30 s; till then the training is stopped, so that no machine is too
    fast or too slow."""
    folder, begun = project_in(tmp_path), time.monotonic()
    process = train(folder)
    pids = running(folder)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    minutes = int((time.monotonic() - begun) / 60) + 2
    job = slurm_jobs("RUNNING")[0]
    limit = ["scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}"]
    subprocess.run(limit, check=True)
    until(lambda: any(warned(pid) for pid in pids), every=0.005)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    log = folder / "results/smoke/logs/swissroll-debias-False-seed-0-train.log"
    until(lambda: "Stopped by SIGTERM at iteration" in log.read_text())
    at = resumes(process, folder, undisturbed)
    fault("time limit with warning", f"saved, retried, resumed at {at}")


def test_preemption_and_requeue(tmp_path, slurm, undisturbed, fault):
    folder = project_in(tmp_path)
    process = train(folder)
    running(folder)
    job = slurm_jobs("RUNNING")[0]
    urgent = ["sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 3"]
    subprocess.run(urgent, check=True, cwd=folder)
    released(job)
    at = resumes(process, folder, undisturbed)
    fault("preemption and requeue", f"same job again, resumed at {at}")


def test_sigkill_of_snakemake(tmp_path, slurm, undisturbed, fault):
    folder = project_in(tmp_path)
    process = train(folder)
    running(folder)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finish(launch(folder, "--unlock", "--configfile", "long.yaml"), folder)
    finish(train(folder), folder)
    same_training(folder, undisturbed)
    fault("SIGKILL of Snakemake", "--unlock, the same command; its job had gone on")


def test_two_snakemakes_at_once(tmp_path, slurm, undisturbed, fault):
    folder = project_in(tmp_path)
    process = train(folder)
    running(folder)
    finish(train(folder), folder, code=1)
    assert "cannot be locked" in (folder / "output.txt").read_text()
    finish(process, folder)
    same_training(folder, undisturbed)
    fault("a second Snakemake in the same folder", "refused with a sentence, the first ends")


def test_the_loss_of_the_node(tmp_path, slurm, undisturbed, fault):
    folder = project_in(tmp_path)
    process = train(folder)
    pids = running(folder)
    job = slurm_jobs("RUNNING")[0]
    subprocess.run([SCRIPT, "node-down", slurm], check=True)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    subprocess.run(["pkill", "-KILL", "slurmstepd"], check=False)
    until(lambda: not slurm_jobs("RUNNING", "COMPLETING"), 180)
    subprocess.run([SCRIPT, "node-up"], check=True)
    released(job)
    at = resumes(process, folder, undisturbed)
    fault("loss of the node", f"requeued, resumed at {at}")


def test_a_full_disk(tmp_path, slurm, undisturbed, fault):
    folder = project_in(tmp_path)
    disk = folder / "results"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs leave to mount a small disk")
    try:
        process = train(folder, "--retries", "0")
        running(folder)
        while process.poll() is None:
            with contextlib.suppress(OSError), (disk / "filler").open("ab") as file:
                file.write(bytes(4096))
        finish(process, folder, code=1)
        logs = (folder / ".snakemake/slurm_logs").rglob("*.log")  # the job's own log had no room
        assert any("cannot be written: No space left on device" in f.read_text() for f in logs)
        (disk / "filler").unlink()
        at = resumes(train(folder), folder, undisturbed)
        fault("full disk", f"space made, the same command, resumed at {at}")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_time_slices(tmp_path, undisturbed, fault):
    folder = project_in(tmp_path)
    words = [TRAIN, "--cores", "1", "--configfile", "long.yaml"]
    (folder / "long.yaml").open("a").write("slice_minutes: 0.075\n")
    finish(launch(folder, *words), folder)
    same_training(folder, undisturbed)
    stops = (folder / "output.txt").read_text().count("Stopped by the end of its time slice")
    assert stops > 0
    fault("time slices (local)", f"{stops} slices ended, each resumed")
