"""What machines do: full disks, folders that cannot be written, damaged data. One sentence each."""

import gzip
import os
import shutil
import subprocess
import threading

import pytest
import torch
from filelock import FileLock
from support.commands import vdiff
from support.training import TINY, results, start

from vdiff.data import load
from vdiff.errors import VdiffError
from vdiff.files.objects import write_json
from vdiff.machine.devices import Wanted, choose, claim

root_only = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("mount"), reason="needs root, to mount a small disk"
)


@pytest.fixture
def mounted(tmp_path):
    """Mounts of small disks in memory; skips where the system forbids them."""
    places = []

    def mount(name, *options):
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def run(*words):
    environment = {**os.environ, "VDIFF_PROGRESS": "none"}
    return subprocess.run(
        vdiff("--threads", "1", *words), env=environment, capture_output=True, text=True
    )


def says_one_sentence(done, *parts):
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert all(part in last for part in parts), last


@pytest.mark.slow
@root_only
def test_a_full_disk_stops_the_run_and_the_rest_follows(tmp_path, mounted):
    whole = tmp_path / "whole"
    assert start(whole, 600).wait() == 0
    disk = mounted("disk", "size=2m")
    process = start(disk, 600)
    (disk / "filler").write_bytes(bytes(2**20))
    while process.poll() is None:  # fill it while the run goes on
        try:
            with (disk / "filler").open("ab") as file:
                file.write(bytes(4096))
        except OSError:
            pass
    _, errors = process.communicate()
    assert process.returncode == 1
    assert b"cannot be written: No space left on device" in errors
    assert b"Traceback" not in errors
    assert not list(disk.rglob("*.tmp"))
    (disk / "filler").unlink()
    assert start(disk, 600).wait() == 0
    assert results(disk) == results(whole)


@root_only
def test_a_folder_that_is_read_only_is_named(tmp_path, mounted):
    run_file = tmp_path / "run.json"
    write_json(run_file, TINY)
    disk = mounted("disk", "size=1m", "ro")
    done = run("train", "--run", run_file, "--out", disk / "out")
    says_one_sentence(done, str(disk / "out"), "Read-only file system")


@root_only
def test_a_data_root_without_permission_is_named(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    load("digits")  # imports all that nobody might not be allowed to
    import torchvision  # noqa: F401

    os.seteuid(65534)  # nobody
    try:
        with pytest.raises(VdiffError, match=f"data root {private}.*Permission denied.*data_root"):
            load("mnist", private)
    finally:
        os.seteuid(0)


def test_a_truncated_data_file_is_named(tmp_path):
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 60000), ("t10k", 10000)):
        for kind, header in (
            ("images-idx3", [2051, n, 28, 28]),
            ("labels-idx1", [2049, n]),
        ):
            content = b"".join(v.to_bytes(4, "big") for v in header) + bytes(100)
            (raw / f"{part}-{kind}-ubyte").write_bytes(content)
            with gzip.open(raw / f"{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(content)
    run_file = tmp_path / "run.json"
    write_json(run_file, {**TINY, "dataset": "mnist", "network": {"channels": 8, "groups": 4}})
    done = run("train", "--run", run_file, "--out", tmp_path / "out", "--data-root", tmp_path)
    says_one_sentence(done, "MNIST", str(tmp_path), "damaged")


def test_a_second_training_waits_for_the_first_and_takes_over(tmp_path):
    """As after a killed Snakemake whose job lives on: no error, and nothing trained twice."""
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert start(whole, 600).wait() == 0
    first, second = start(shared, 600), start(shared, 600)
    errors = [process.communicate()[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert sum(b"waiting for it" in e for e in errors) == 1
    assert sum(b"Resuming at iteration 600" in e for e in errors) == 1
    assert results(shared) == results(whole)


GPUS = {"cuda:0": "GPU-a", "cuda:1": "GPU-b"}


def test_each_process_gets_a_gpu_of_its_own(tmp_path):
    first, lock = claim(GPUS, tmp_path)
    second, other = claim(GPUS, tmp_path)
    assert [first, second] == ["cuda:0", "cuda:1"]
    found = []
    third = threading.Thread(target=lambda: found.append(claim(GPUS, tmp_path, Wanted(wait=True))))
    third.start()
    third.join(0.5)
    assert not found  # it waits
    other.release()
    third.join(10)
    assert found[0][0] == "cuda:1"
    lock.release()
    assert isinstance(found[0][1], FileLock)
    found[0][1].release()


def test_a_gpu_in_use_is_refused_with_who_holds_it_unless_shared(tmp_path):
    """By hand one GPU is named; a holder of old that left no note is another process."""
    only = {"cuda:1": "GPU-b"}
    _, lock = claim(only, tmp_path)
    with pytest.raises(VdiffError, match=rf"cuda:1 by process {os.getpid()} \(vdiff .*--share"):
        claim(only, tmp_path)
    assert claim(GPUS, tmp_path)[0] == "cuda:0"
    assert claim(only, tmp_path, Wanted(share=True)) == ("cuda:1", None)
    (tmp_path / "GPU-b.json").unlink()
    with pytest.raises(VdiffError, match="cuda:1 by another process"):
        claim(only, tmp_path)
    lock.release()


@pytest.mark.parametrize(
    ("device", "words"),
    [("cuda", "sees no GPU"), ("cuda:1", "sees no GPU"), ("gpu", "must be auto, cpu, cuda"),
     ("meta:x", "must be auto")],
)  # fmt: skip
def test_a_device_that_is_not_there_is_one_sentence(device, words):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(VdiffError, match=words):
        choose(Wanted(device))
    assert choose(Wanted("auto")) == "cpu"
