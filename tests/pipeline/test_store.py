"""Runs where nothing is shared but a store: jobs in empty folders, as a user without a home, whose
machines vanish and whose store fails. Each ends with the bytes of a local run."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from support.pipeline import copy_project, environment, planned, snakemake
from support.pods import kubernetes
from support.stores import KEY, Away, s3_server

pytest.importorskip("moto", reason="needs moto, of the extra `test`")
pytestmark = pytest.mark.slow
RUN = "results/smoke/runs/digits/debias-True/seed-0"
LONE = "seeds: [0], arms: {debias-False: null}"  # one training, and what is made of it
ONE = ["only=[digits]", f"experiments={{digits: {{{LONE}}}}}"]


@pytest.fixture
def s3():
    with s3_server() as server:
        yield server


def unpacked(files):
    """Files by name, with those in archives beside them, which a local run has as a folder."""
    found = {}
    for name, content in files.items():
        if name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                members = [member for member in archive if member.isfile()]
                for member in members:
                    path = Path(name).parent / member.name
                    found[path.as_posix()] = archive.extractfile(member).read()
        else:
            found[name] = content
    return found


def in_folder(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def same_results(found, local):
    """See that runs, provenance and figures are those of a local run; the number compared."""
    names = [name for name in found if "/runs/" in name]
    assert names
    other = [name for name in names if found[name] != (local / name).read_bytes()]
    assert not other
    return len(names)


def test_jobs_share_nothing_but_an_s3_store(tmp_path, finished, s3, fault):
    """Each job has the files that it declares and no others: so what it makes depends on them."""
    away = Away(tmp_path, s3.words())
    away.run("--", *ONE)
    stored, fetched = (s3.moved(method, f"{RUN}/weights.tar") for method in ("PUT", "GET"))
    moved = {way: sum(n for (m, _), n in s3.bytes.items() if m == way) for way in ("PUT", "GET")}
    files = unpacked(s3.files())
    compared = same_results(files, finished[0])
    assert compared > 20
    made = [f"results/smoke/{name}" in files for name in ("report.html", "manifest.json")]
    assert all(made)
    assert not (away.main / "results").exists()
    # Weights are stored once, and fetched once by each job that measures.
    logs = "results/smoke/logs/digits-debias-True"
    measured = sum(name.startswith(logs) and name.endswith(".json") for name in files) - 1
    assert measured == 4
    assert (stored, fetched) == (1, measured)
    # Another machine knows what the store holds by its provenance alone, and planning changes none.
    (tmp_path / "other").mkdir()
    other = Away(tmp_path / "other", s3.words())
    said = other.run(
        "-n", "--", "only=[digits]", f"experiments={{digits: {{{LONE}, training: {{lr: 0.01}}}}}}"
    )
    assert "config.json does not fit: it is another configuration" in said
    assert "train " in said
    assert "Nothing to be done" in other.run("--", *ONE)
    sizes = f"{moved['PUT'] / 1e6:.1f} MB stored, {moved['GET'] / 1e6:.1f} MB fetched"
    fault("none, S3, nothing shared", f"{len(files)} files as from a local run; {sizes}")


def test_a_wrong_credential_is_one_sentence(tmp_path, s3, fault):
    away = Away(tmp_path, s3.words())
    said = away.run("--", *ONE, code=1, key="wrong")
    (line,) = [line for line in said.splitlines() if "store" in line]
    assert line.startswith(f"The store s3://{s3.bucket} cannot be used: ")
    assert "Forbidden" in line
    assert "Traceback" not in said
    assert not s3.requests
    fault("a wrong credential", "refused before anything runs, with a sentence")


def test_a_store_that_fails_for_a_while(tmp_path, finished, s3, fault):
    away = Away(tmp_path, s3.words())
    words = [f"{RUN}/evaluation.csv", "--retries=3", "--storage-s3-retries=9", "--", *ONE]
    process = away.start(*words)
    while not s3.moved("PUT", f"{RUN}/run.json"):
        assert process.poll() is None, away.said()[-3000:]
        time.sleep(0.1)
    s3.fails_for(15)
    again = process.wait(timeout=400) != 0
    if again:  # the main process gave up: the same command goes on
        away.run(*words)
    assert s3.refused > 0
    same_results(unpacked(s3.files()), finished[0])
    fault(
        "a store with 503 for 15 s",
        f"{s3.refused} refused, " + ("run again" if again else "waited out"),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, table, words) of a local training on a user's file, of a few seconds."""
    folder = copy_project(tmp_path_factory.mktemp("trained"))
    x = load_digits().images.astype(np.uint8)[:, None]
    np.savez(folder / "mine.npz", train_x=x[:1200], test_x=x[1200:1400], levels=17)
    longer = "training: {iterations: 150, checkpoint_every: 25, log_every: 25}"
    words = [
        f'data={{digits: "npz:{folder}/mine.npz"}}', "only=[mine]",
        f"experiments={{digits: {{seeds: [0], {longer}}}}}",
    ]  # fmt: skip
    table = "results/smoke/runs/mine/debias-True/seed-0/evaluation.csv"
    snakemake(folder, table, "--config", "preset=smoke", *words)
    return folder, table, words


def test_a_machine_that_vanishes(tmp_path, trained, s3, fault):
    """It loses its part of the training alone: the retry begins with the state in the store."""
    local, table, words = trained
    away = Away(tmp_path, s3.words())
    process = away.start(table, "--retries=2", "--", "part_iterations=50", *words)
    part = Path(table).parent.as_posix().replace("runs", "parts") + "/part-1.tar"
    while not (s3.moved("GET", part) and (pids := away.pids("train"))):
        assert process.poll() is None, away.said()[-3000:]
        time.sleep(0.05)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert process.wait(timeout=400) == 0, away.said()[-3000:]
    assert "Trying to restart job" in away.said()
    files = s3.files()
    (log,) = [text.decode() for name, text in files.items() if name.endswith("train-2.log")]
    assert "Resuming at iteration 50" in log
    names = sorted(files)
    assert part not in names  # states go when they are used
    same_results(unpacked(files), local)
    fault("a machine lost in training", "the retry resumed at 50, its part's beginning")


@pytest.mark.long
def test_two_runs_against_one_store(tmp_path, trained, s3, fault):
    local, table, words = trained
    both = [Away(tmp_path / name, s3.words()) for name in "ab"]
    processes = [away.start(table, "--retries=2", "--", *words) for away in both]
    codes = [process.wait(timeout=400) for process in processes]
    assert codes == [0, 0], both[0].said()[-3000:] + both[1].said()[-3000:]
    same_results(unpacked(s3.files()), local)
    fault("two runs against one store", "both end, with the same bytes")


@pytest.mark.long
def test_a_folder_as_the_store(tmp_path, trained, fault):
    """By the plugin fs: a disk that only the store shares, such as a mounted bucket."""
    if not shutil.which("rsync"):
        pytest.skip("needs rsync, by which the plugin fs copies")
    local, table, words = trained
    store = tmp_path / "far" / "store"
    store.mkdir(parents=True)
    fs = ["--default-storage-provider=fs", f"--default-storage-prefix={store}"]
    Away(tmp_path, fs).run(table, "--", *words)
    same_results(unpacked(in_folder(store)), local)
    fault("none, a folder as the store", "the files of a local run")


def test_pods_of_kubernetes(tmp_path, trained, s3, monkeypatch, fault):
    """By the executor plugin itself, against a pretend API server: the sources come from the store
    and the keys as a secret, into an empty folder."""
    local, table, words = trained
    away = Away(tmp_path, s3.words())
    with kubernetes(tmp_path / "pods") as (cluster, config):
        monkeypatch.setenv("KUBECONFIG", str(config))
        for name, value in {"ACCESS_KEY": KEY, "SECRET_KEY": "x"}.items():
            monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        profile = ["--profile=workflow/profiles/kubernetes", "--container-image=x/vdiff:1"]
        command = [sys.executable, "-m", "snakemake", table, *profile, *s3.words()[1:]]
        command += ["--seconds-between-status-checks=1", "--config", "preset=smoke", *words]
        done = subprocess.run(
            command, cwd=away.main, env=environment(away.main),
            capture_output=True, text=True,
        )  # fmt: skip
    said = "".join(p.read_text()[-3000:] for p in (tmp_path / "pods").glob("jobs/*/output.txt"))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:] + said
    same_results(unpacked(s3.files()), local)
    assert len(cluster.bodies) == 2  # the training and an evaluation
    for body in cluster.bodies.values():
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "x/vdiff:1"
        assert container["resources"]["requests"]["nvidia.com/gpu"] == "1"
        assert "x" not in container["args"][1].split()  # the secret is not on the command line
    fault("none, pods of a pretend Kubernetes", "the files of a local run")


CLOUDS = {
    "kubernetes": ["--container-image=x/vdiff:1"],
    "aws-batch": ["--container-image=x/vdiff:1", "--aws-batch-region=eu-west-1"],
    "google-batch": [
        "--googlebatch-container=x/vdiff:1", "--googlebatch-project=p", "--googlebatch-region=r",
    ],
}  # fmt: skip
GPU = {
    "kubernetes": "gpu_manufacturer=nvidia",
    "aws-batch": "_gpus=1",
    "google-batch": "nvidia_gpu=1",
}


PARTS = ["preset=smoke", "part_iterations=20", "only=[swissroll]"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The jobs of a local run."""
    folder = copy_project(tmp_path_factory.mktemp("plain"))
    return planned(snakemake(folder, "-n", "--config", *PARTS))


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_profiles_of_clouds_plan_the_same_jobs(tmp_path, plain, s3, monkeypatch, cloud):
    """By the executors' own plugins; training in parts, each with a GPU as they name it."""
    copy_project(tmp_path)
    secrets = {"ACCESS_KEY": KEY, "SECRET_KEY": "x"}
    for name, value in secrets.items():
        monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
    monkeypatch.setenv("SNAKEMAKE_AWS_BATCH_JOB_QUEUE", "queue")
    monkeypatch.setenv("SNAKEMAKE_AWS_BATCH_JOB_ROLE", "role")
    words = ["-n", "--profile", f"workflow/profiles/{cloud}", *CLOUDS[cloud], *s3.words()[1:]]
    output = snakemake(tmp_path, *words, "--config", *PARTS)
    assert planned(output) == plain
    assert plain["train_part"] == "2"
    blocks = re.findall(r"^rule (train|train_part|evaluate):\n(.*?)^\[", output, re.S | re.M)
    assert {name for name, _ in blocks} == {"train", "train_part", "evaluate"}
    for _, block in blocks:
        assert GPU[cloud] in block
        assert " gpu=1," in block
