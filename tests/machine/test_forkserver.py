"""A command in a fork of the fork server is as the same command in a process of its own."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.commands import OWNER, SOCKETS
from support.pipeline import ROOT, copy_project, snakemake
from support.training import TINY, results

from vdiff.files.objects import write_json

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux alone")


VDIFF = ROOT / "vdiff/__main__.py"
CLIENT = ROOT / "vdiff/machine/forked.py"
WAITING = ROOT / "tests/support/waiting.py"


class Forks:
    """Commands of a program by forks of servers that live as long as a process `owner`."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder, self.program = folder / "sockets", program
        self.owner = subprocess.Popen(["sleep", "600"])

    def start(self, *words: object, **given) -> subprocess.Popen:
        command = [sys.executable, "-I", "-S", CLIENT, self.folder, self.owner.pid, self.program]
        return subprocess.Popen(
            [*map(str, command), *map(str, words)], text=True, stdout=-1, stderr=-1,
            **{"env": {**os.environ, "VDIFF_PROGRESS": "none"}, **given},
        )  # fmt: skip

    def servers(self) -> list[int]:
        """The processes of the servers."""
        found = subprocess.run(
            ["pgrep", "-f", f"forkserver [0-9]+ {self.owner.pid} "], capture_output=True, text=True
        )
        return [int(pid) for pid in found.stdout.split()]

    def children(self) -> list[int]:
        """The forks at work."""
        found = (
            subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
            for pid in self.servers()
        )
        return [int(pid) for each in found for pid in each.stdout.split()]


@contextmanager
def forks(folder, program=VDIFF):
    found = Forks(folder, program)
    try:
        yield found
    finally:
        found.owner.kill()
        found.owner.wait()
        eventually(lambda: not found.servers())


def eventually(true, seconds=30):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def tiny(folder, iterations=60):
    write_json(
        folder / "run.json", {**TINY, "training": {**TINY["training"], "iterations": iterations}}
    )
    return ["--threads", 1, "train", "--run", folder / "run.json", "--out", folder]


@pytest.mark.slow
def test_a_training_in_a_fork_has_the_bytes_of_one_in_a_process(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with forks(tmp_path) as fork:
        done = fork.start(*tiny(tmp_path / "a"))
        said = done.communicate()
        assert done.returncode == 0, said
        assert len(fork.servers()) == 1
    command = [sys.executable, "-m", "vdiff", *map(str, tiny(tmp_path / "b"))]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    assert results(tmp_path / "a") == results(tmp_path / "b")


def test_streams_codes_folder_and_environment_are_the_callers(tmp_path):
    with forks(tmp_path) as fork:
        done = fork.start("presets")
        assert done.communicate() == ("demo\nlaptop\npaper\nrecord\nsmoke\n", "")
        assert done.returncode == 0
        done = fork.start("presets", "no")
        assert "it must be one of demo" in done.communicate()[1]
        assert done.returncode == 1
        done = fork.start("--log", "here.log", "claims", "none", "--out", "x.csv", cwd=tmp_path)
        assert "none/config.json cannot be read" in done.communicate()[1]
        assert (tmp_path / "here.log").is_file()
        assert len(fork.servers()) == 1
        # What is read when modules are imported may differ: then so do the servers.
        other = {**os.environ, "OMP_NUM_THREADS": "2"}
        fork.start("presets", env=other).communicate()
        assert len(fork.servers()) == 2
        fork.start("--threads", "2", "presets").communicate()
        fork.start("--threads=2", "presets").communicate()
        assert len(fork.servers()) == 2  # VDIFF_PROGRESS, by which they differ, is read later


def test_umask_and_limits_are_the_callers(tmp_path):
    """Case 22: a second command whose files are to be its owner's alone; one with fewer files."""
    run = json.dumps(TINY)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with forks(tmp_path) as fork:
        for name, mask, servers in (("a", 0o022, 1), ("b", 0o077, 2), ("c", 0o022, 2)):
            words = ["configure", run, "--out", tmp_path / name]
            assert fork.start(*words, umask=mask).wait() == 0
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~mask
            assert len(fork.servers()) == servers
        with limited(resource.RLIMIT_NOFILE, (200, files)):
            few = fork.start("presets")
        assert few.communicate()[0].startswith("demo")
        assert len(fork.servers()) == 3
        nice = fork.start("presets", preexec_fn=lambda: os.nice(5))
        assert nice.communicate()[0].startswith("demo")
        assert len(fork.servers()) == 4


@contextmanager
def limited(kind, limits):
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, limits)
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


@pytest.mark.parametrize("begun", [False, True])
def test_a_stopped_server_goes_on(tmp_path, begun):
    """Case 22: whether it was stopped before a command or beneath one, which ends as it would."""
    with forks(tmp_path, WAITING) as fork:
        assert fork.start(tmp_path / "first", 0).wait() == 0
        (server,) = fork.servers()
        if not begun:
            os.kill(server, signal.SIGSTOP)
        process = fork.start(tmp_path / "second", 0.5)
        if begun:
            eventually(fork.children)
            os.kill(server, signal.SIGSTOP)
        assert process.wait(timeout=120) == 0
        assert (tmp_path / "second").is_file()
        assert fork.servers() == [server]


def test_signals_reach_the_fork_and_a_killed_client_takes_it_along(tmp_path):
    with forks(tmp_path, WAITING) as fork:
        process = begun(fork, tmp_path / "a")
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
        assert (process.returncode, said) == (1, "Stopped\n")
        assert not fork.children()
        process = begun(fork, tmp_path / "b")
        process.kill()
        process.communicate()
        eventually(lambda: not fork.children())
        assert len(fork.servers()) == 1


def begun(fork, file):
    """A command that is at work, and would be for long."""
    process = fork.start(file, 600)
    eventually(file.exists)
    return process


def test_a_client_and_its_fork_may_be_killed_at_once(tmp_path):
    """The server, stopped meanwhile, hears of both together and goes on."""
    with forks(tmp_path, WAITING) as fork:
        process = begun(fork, tmp_path / "a")
        (child,) = fork.children()
        (server,) = set(fork.servers()) - {child}  # whose command line a fork has, too
        os.kill(server, signal.SIGSTOP)
        os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()
        os.kill(server, signal.SIGCONT)
        assert fork.start(tmp_path / "b", 0).wait() == 0
        assert fork.servers() == [server]


def test_a_killed_server_takes_its_forks_along_and_says_so(tmp_path):
    with forks(tmp_path, WAITING) as fork:
        process = begun(fork, tmp_path / "a")
        (child,) = fork.children()
        os.kill(fork.servers()[0], signal.SIGKILL)
        assert "is gone, and the command with it" in process.communicate(timeout=30)[1]
        assert process.returncode == 1
        eventually(lambda: not Path(f"/proc/{child}").exists())
        assert fork.start(tmp_path / "b", 0).wait() == 0  # the next command has a new server
        assert len(fork.servers()) == 1


def test_edited_code_is_run_and_not_what_the_server_has(tmp_path):
    package = tmp_path / "vdiff"
    shutil.copytree(ROOT / "vdiff", package, ignore=shutil.ignore_patterns("__pycache__"))
    with forks(tmp_path, package / "__main__.py") as fork:
        assert fork.start("presets").communicate()[0].startswith("demo")
        (package / "presets" / "mine.yaml").write_text("experiments: {}\n")
        source = (package / "cli" / "results.py").read_text()
        (package / "cli" / "results.py").write_text(source.replace('"\\n".join', '"+".join'))
        (old,) = fork.servers()
        (package / ".#errors.py").symlink_to("nowhere")  # as an editor has beside a changed file
        for _ in range(2):  # by itself, then in a fork of another server
            said = fork.start("presets").communicate()[0]
            assert said == "demo+laptop+mine+paper+record+smoke\n"
        eventually(lambda: len(fork.servers()) == 1)
        assert fork.servers() != [old]


def test_without_sockets_a_command_is_a_process_of_its_own(tmp_path):
    (tmp_path / "sockets").write_text("")  # no folder can be made there
    with forks(tmp_path) as fork:
        done = fork.start("presets")
        assert done.communicate() == ("demo\nlaptop\npaper\nrecord\nsmoke\n", "")
        assert not fork.servers()


def test_runs_of_the_pipeline_share_the_servers_that_are_named(tmp_path, monkeypatch):
    """As all of the tests' do; each has its own where none are named."""
    found = []
    for name in ("a", "b"):
        folder = copy_project(tmp_path / name)
        snakemake(folder, "results/smoke/config.json")
        assert (folder / "results/smoke/config.json").is_file()
        assert not (folder / ".snakemake/forkserver").exists()
        found.append({path.name for path in SOCKETS.glob(f"{OWNER}-*")})
    assert found[0] == found[1] != set()
    gone = subprocess.Popen(["true"])
    gone.wait()
    for wrong in ("here", f"relative:{OWNER}", f"{tmp_path}:{gone.pid}", f"{tmp_path}:\u0663"):
        monkeypatch.setenv("VDIFF_SERVERS", wrong)
        said = snakemake(folder, "-n", code=1)
        assert f"VDIFF_SERVERS is {wrong!r}; it must be FOLDER:PROCESS" in said
        assert "Traceback" not in said
    monkeypatch.setenv("VDIFF_SERVERS", "")  # as if it were not set
    snakemake(folder, "-n")
