"""Names, files and machines as users have them: each works to the end or is refused beforehand."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock
from support.pipeline import ROOT, copy_project, snakemake

from vdiff.cli import main
from vdiff.cli.pipeline import _config_files, _home, _with_preset
from vdiff.config import load_config, read_yaml
from vdiff.config.merging import parse_yaml
from vdiff.data import load
from vdiff.errors import VdiffError
from vdiff.files import atomic
from vdiff.files.codehash import code_hash
from vdiff.files.schemas import SCHEMAS
from vdiff.files.tidy import read_csv, write_csv
from vdiff.machine import lock
from vdiff.machine.stop import Stop
from vdiff.nets.authors import horizon_of
from vdiff.report.contents import read_config, strangers
from vdiff.steps.trajectory import histogram


def arms(**named):
    """The experiment digits of the demo with these arms alone."""
    off = dict.fromkeys(["debias-True", "debias-False", "improved"])
    keys = {"digits": {"arms": {**off, **named}}}
    return load_config({"preset": "demo", "experiments": keys}).experiments["digits"]


def run_vdiff(*words, **environment):
    command = [sys.executable, "-P", str(ROOT / "vdiff/__main__.py"), *words]
    env = {**os.environ, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True)


# Names


def test_an_arm_trains_what_its_keys_say_whatever_it_is_called():
    """Case 2."""
    with pytest.raises(VdiffError, match=r"arms\.debias-False-ema\.debias is missing"):
        arms(**{"debias-True": {}, "debias-False-ema": {}})
    e = arms(**{"debias-False-ema": {"debias": True}})
    assert e.arms["debias-False-ema"].debias is True


def test_default_pairs_follow_what_arms_train_not_their_names():
    """Case 2: names that begin like the paper's, and names that say nothing."""
    ema = {"training": {"ema": 0.5}}
    of_names = arms(**{"debias-True-ema": {"debias": True, **ema}, "debias-True": {}})
    assert of_names.compared == [("debias-True-ema", "debias-True")]
    assert of_names.claimed is None  # nothing uniform to compare with
    named = {"a": {"debias": False}, "b": {"debias": True}}
    named["debias-True-ema"] = {"debias": True, **ema}
    assert arms(**named).compared == [("b", "a"), ("debias-True-ema", "b")]
    swapped = {"debias-True-x": {"debias": False}, "debias-False-x": {"debias": True}}
    assert arms(**swapped).claimed == ("debias-False-x", "debias-True-x")


@pytest.mark.parametrize("name", ["None", "nan", "NA", "null", "16", "1e-3", "True", "-x", "a.b=c"])
def test_any_name_of_the_alphabet_survives_every_table(tmp_path, name):
    """Case 5: read by the schema, not by guess."""
    assert name in arms(**{name: {"debias": True}}).arms
    row = dict.fromkeys(SCHEMAS["train"], 0) | {"experiment": "16", "arm": name, "debias": True}
    write_csv(tmp_path / "train.csv", [row], "train")
    back = read_csv(tmp_path / "train.csv", "train").iloc[0]
    assert (back["experiment"], back["arm"]) == ("16", name)
    assert back["loss"] == 0


@pytest.mark.parametrize("name", ["a" * 81, "a b", "a/b", "ends.", "ä", ""])
def test_other_names_are_refused_before_training(name):
    """Case 14."""
    with pytest.raises(VdiffError, match="must be at most 80 letters"):
        arms(**{name: {"debias": True}})


def test_a_sweep_whose_arms_have_names_too_long_is_refused_before_training():
    """Case 14: ten keys."""
    keys = ["lr", "ema", "warmup", "decay", "batch_size", "log_every", "weight_decay", "muon_lr"]
    values = [0.0012345, 0.123456, 10, 0.123456, 10, 100, 0.012345, 0.012345]
    sweep = {f"training.{k}": [v] for k, v in zip(keys, values, strict=True)}
    with pytest.raises(VdiffError, match="must be at most 80 letters"):
        load_config({"preset": "demo", "experiments": {"digits": {"sweep": sweep}}})
    with pytest.raises(VdiffError, match="results is '-x'"):
        load_config({"results": "-x"})


# Configuration


def test_yaml_is_read_strictly(tmp_path):
    """Case 5."""
    file = tmp_path / "mine.yaml"
    file.write_text("a: {lr: 1}\nb: 2\na: {lr: 2}\n")
    with pytest.raises(VdiffError, match="the key a stands twice in a mapping, in line 3"):
        read_yaml(file)
    file.write_text("x: {arms: {a: 1, a: 2}}\n")
    with pytest.raises(VdiffError, match="the key a stands twice"):
        read_yaml(file)
    assert parse_yaml("{a: on, b: off, c: 010, d: 1_000, e: 1:30, f: 2026-01-01}") == {
        "a": "on", "b": "off", "c": "010", "d": 1000, "e": "1:30", "f": "2026-01-01",
    }  # fmt: skip
    assert list(parse_yaml("{16: {}, 1e-3: {}, null: {}, true: {}}")) == [
        "16",
        "1e-3",
        "null",
        "true",
    ]
    for lr in ("on", "off", "yes"):
        over = {"digits": {"training": parse_yaml(f"{{lr: {lr}}}")}}
        with pytest.raises(VdiffError, match=f"training.lr is '{lr}'"):
            load_config({"preset": "demo", "experiments": over})
    over = {"digits": {"training": parse_yaml("{iterations: 010}")}}
    e = load_config({"preset": "demo", "experiments": over}).experiments["digits"]
    assert e.training.iterations == 10


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_in_another_encoding_is_one_sentence(tmp_path, encoding):
    """Case 23."""
    file = tmp_path / "mine.yaml"
    file.write_bytes("results: über\n".encode(encoding))
    with pytest.raises(VdiffError, match="is not text in UTF-8; save it in that encoding"):
        read_yaml(file)
    done = run_vdiff("run", "--configfile", str(file))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    file.write_bytes("results: über\n".encode("utf-8-sig"))
    assert read_yaml(file) == {"results": "über"}


def test_the_words_of_run_keep_snakemakes_own_order():
    """Case 22."""
    words = ["--config", "A=1", "threads=1", "--configfile", "F", "--cores", "1", "TARGET"]
    assert _with_preset(None, words) == words
    assert _with_preset("demo", words) == ["--config", "preset=demo", *words[1:]]
    assert _with_preset("demo", ["-n"]) == ["--config", "preset=demo", "-n"]
    assert _with_preset("demo", ["TARGET", "-n"]) == [
        "--config", "preset=demo", "--", "TARGET", "-n",
    ] or _with_preset("demo", ["TARGET", "-n"])[0] == "TARGET"  # fmt: skip
    words = ("-n", "--configfile", "a", "b", "--cores", "1")
    assert list(_config_files(words)) == [Path("a"), Path("b")]


@pytest.mark.parametrize("words", [["demo"], ["-n", "smoke"], ["--cores", "2", "score"]])
def test_a_preset_that_stands_where_targets_do_is_one_sentence(tmp_path, monkeypatch, words):
    """Case 23; as Snakemake's own value, or the name of a file here, it is left alone."""
    monkeypatch.chdir(tmp_path)
    ran = []
    monkeypatch.setattr(os, "execve", lambda program, command, env: ran.append(command))
    refused = CliRunner().invoke(main, ["run", *words])
    assert refused.exit_code == 1
    assert refused.output.endswith(f"write vdiff run --preset {words[-1]}.\n")
    assert not ran
    assert CliRunner().invoke(main, ["run", "--profile", words[-1]]).exit_code == 0
    (tmp_path / words[-1]).touch()
    assert CliRunner().invoke(main, ["run", *words]).exit_code == 0
    assert len(ran) == 2


def test_a_page_of_a_kept_folder_says_how_its_pictures_come(tmp_path):
    """Case 23: kept folders have no dark ones."""
    dark = shutil.ignore_patterns("*-dark.png", "*.pdf")
    shutil.copytree(ROOT / "results/reference/laptop", tmp_path / "kept", ignore=dark)
    found = CliRunner().invoke(main, ["report", str(tmp_path / "kept"), "--page-only"])
    assert found.exit_code == 1
    assert found.output.endswith(".png is not there; leave out --page-only to have it drawn.\n")
    assert not (tmp_path / "kept/report.html").exists()


# Data and numbers


def test_images_with_few_levels_are_noticed(tmp_path):
    """Case 11: binary images as 0 and 1, as 0 and 255, and 4-bit ones."""
    rng = np.random.default_rng(0)
    for top, scale in ((2, 1), (2, 255), (16, 1)):
        x = (rng.integers(0, top, (20, 8, 8)) * scale).astype(np.uint8)
        path = tmp_path / "own.npz"
        np.savez(path, train_x=x, test_x=x[:5])
        with pytest.raises(VdiffError, match=rf"have {top} different grey levels.*an entry levels"):
            load(f"npz:{path}")
        np.savez(path, train_x=x, test_x=x[:5], levels=256)
        assert load(f"npz:{path}").levels == 256


def test_images_with_few_levels_are_refused_before_any_job(tmp_path):
    """Case 24: what can be known from the data is said by a dry run. With levels it is planned."""
    copy_project(tmp_path)
    x = np.random.default_rng(0).integers(0, 30, (20, 8, 8), dtype=np.uint8)
    own = {"dataset": "npz:own.npz", "network": {"channels": 8, "multipliers": [1], "groups": 2}}
    words = ["only=[own]", f"experiments={json.dumps({'own': own})}"]
    for more, code in (({}, 1), ({"levels": 30}, 0)):
        np.savez(tmp_path / "own.npz", train_x=x, test_x=x[:5], **more)
        output = snakemake(tmp_path, "-n", "--config", "preset=smoke", *words, code=code)
        assert ("own.npz have 30 different grey levels" in output) == (code == 1)
        assert ("Building DAG" in output) == (code == 0)


def test_frames_count_more_points_than_16_bits_hold():
    """Case 10."""
    x = np.zeros((70_000, 2))
    counts = histogram(x, 2, 5.0)
    assert counts.max() == 70_000
    assert np.array([counts], np.uint32).max() == 70_000


def test_imported_weights_keep_their_horizon():
    """Case 9."""
    assert horizon_of({"T": torch.tensor([0.5]), "a.x": torch.zeros(2)}, 1.0) == 0.5
    assert horizon_of({"a.x": torch.zeros(2)}, 1.0) == 1.0
    with pytest.raises(VdiffError, match="several horizons"):
        horizon_of({"T": torch.tensor([0.5]), "inner.T": torch.tensor([1.0])}, 1.0)


# Code


def test_the_codes_hash_is_the_same_on_every_python_at_hand():
    """Case 12."""
    code = (
        "import sys\nfrom importlib.util import module_from_spec, spec_from_file_location\n"
        "spec = spec_from_file_location('codehash', sys.argv[1])\n"
        "module = module_from_spec(spec)\nspec.loader.exec_module(module)\n"
        "print(module.code_hash('training.loop'), module.code_hash('cli', 'report.page'))\n"
    )
    file = str(ROOT / "vdiff/files/codehash.py")
    here = [code_hash("training.loop"), code_hash("cli", "report.page")]
    tried = []
    for minor in (11, 12, 13, 14):
        homes = [*Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"), f"python3.{minor}"]
        for python in homes:
            try:
                env = {**os.environ, "PYTHONPATH": str(ROOT)}
                done = subprocess.run([python, "-c", code, file], capture_output=True, env=env)
            except OSError:
                continue
            if done.returncode == 0:
                tried.append(minor)
                assert done.stdout.decode().split() == here, python
                break
    if len(tried) < 2:
        pytest.skip(f"needs two versions of Python; found 3.{tried}")


@pytest.mark.slow
def test_help_is_there_without_docstrings():
    """Case 21."""
    for words in (["--help"], ["evaluate", "--help"]):
        assert run_vdiff(*words, PYTHONOPTIMIZE="2").stdout == run_vdiff(*words).stdout


# Machines


def test_the_terminal_that_is_closed_saves_a_training():
    """Case 15: SIGHUP is noted as SIGTERM is, but not under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may be under nohup themselves
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.why == "SIGHUP"
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_lock_of_a_node_that_is_gone_is_taken_over(tmp_path, monkeypatch, caplog):
    """Case 16: it says whose it is; one that is heard of is waited for."""
    monkeypatch.setattr(lock, "GONE", 1.2)
    caplog.set_level("INFO")
    theirs = FileLock(tmp_path / "lock")
    theirs.acquire()
    (tmp_path / "holder").write_text("process 7 of node-12")
    done = threading.Event()

    def beat():
        while not done.wait(0.2):
            os.utime(tmp_path / "holder")

    threading.Thread(target=beat, daemon=True).start()
    start = time.monotonic()
    threading.Timer(2.0, done.set).start()
    with lock.held(tmp_path):
        assert time.monotonic() - start > 2.0 + 0.9
    assert "Process 7 of node-12 is training in" in caplog.text
    assert "is gone, silent for" in caplog.text
    theirs.release()


def test_a_file_system_without_permissions_or_flushed_folders_is_written_to(tmp_path, monkeypatch):
    """Case 19."""

    def refuse(*_args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    monkeypatch.setattr(atomic, "_flush", refuse)
    atomic.write_bytes(tmp_path / "x", b"content")
    assert (tmp_path / "x").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_user_without_home_or_name_is_given_both(monkeypatch):
    """Case 18."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("uid")))
    found = _home()
    assert os.access(found["HOME"], os.W_OK)
    assert found["USER"] == f"user-{os.getuid()}"
    monkeypatch.setenv("HOME", found["HOME"])
    monkeypatch.setenv("USER", "me")
    assert _home() == {}


@pytest.mark.slow
def test_the_pipeline_is_planned_by_a_user_id_that_nobody_knows(tmp_path):
    """Case 18, as in containers: no entry in passwd, no home."""
    unknown = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    try:
        subprocess.run([*unknown, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs unshare and user namespaces")
    names = ("USER", "LOGNAME", "LNAME", "USERNAME")
    env = {k: v for k, v in os.environ.items() if k not in names} | {"HOME": "/nonexistent"}
    command = [*unknown, sys.executable, "-P", str(ROOT / "vdiff/__main__.py"), "run"]
    command += ["--preset", "smoke", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "This was a dry-run" in done.stdout + done.stderr


@pytest.mark.parametrize("words", [["--until", "configure"], ["--touch"]])
def test_an_old_report_is_not_said_to_be_done(finished_copy, words):
    """Case 24."""
    seeds = ["--config", "preset=smoke", "experiments={digits: {seeds: [0, 1, 2]}}"]
    words = words if words == ["--touch"] else [*words, *seeds]
    assert "the report is" not in snakemake(finished_copy, *words)


@pytest.mark.slow
def test_the_users_matplotlibrc_and_backend_have_no_part_in_a_figure(finished, tmp_path):
    """Case 20."""
    (tmp_path / "matplotlibrc").write_text(
        "savefig.bbox: tight\ntext.usetex: true\nfont.size: 20\n"
    )
    table = finished[0] / "results" / "smoke" / "train.csv"
    plain, mine = tmp_path / "plain.png", tmp_path / "mine.png"
    done = CliRunner().invoke(main, ["plot", "loss", str(table), "--out", str(plain)])
    assert done.exit_code == 0, done.output
    environment = {"MATPLOTLIBRC": str(tmp_path), "MPLBACKEND": "nonsense"}
    done = run_vdiff("plot", "loss", str(table), "--out", str(mine), **environment)
    assert done.returncode == 0, done.stderr
    assert mine.read_bytes() == plain.read_bytes()


def test_a_pipe_that_is_closed_at_once_is_no_fault():
    """Case 23."""
    entry = f"{sys.executable} -P {ROOT / 'vdiff/__main__.py'}"
    command = f"set -o pipefail; {entry} presets demo | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_clean_leaves_what_the_user_wrote(finished_copy):
    """Case 17: notes and a README are no results; an old figure and table are."""
    results = finished_copy / "results" / "smoke"
    for name in ("README.md", "notes.csv", "notes/plan.json", "figures/notes.txt"):
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_text("mine")
    for name in ("figures/bpd-old.png", "theory.csv", "runs/old/a/seed-0/train.csv"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("old")
    found = {str(p.relative_to(results)) for p in strangers(results, read_config(results))}
    assert found == {"figures/bpd-old.png", "runs/old/a/seed-0/train.csv"}


def test_the_report_of_this_folder_has_its_name(finished_copy, monkeypatch):
    """Case 24."""
    results = finished_copy / "results" / "smoke"
    monkeypatch.chdir(results)
    assert CliRunner().invoke(main, ["report", ".", "--page-only"]).exit_code == 0
    assert "smoke" in Path("report.html").read_text().split("</title>")[0]


def test_a_table_that_the_manifest_does_not_know_is_not_drawn(finished_copy):
    """Kept results have no provenance of their own: the manifest is theirs."""
    results = finished_copy / "results" / "smoke"
    frame = pd.read_csv(results / "train.csv")
    frame["loss"] *= 2
    frame.to_csv(results / "train.csv", index=False)
    found = CliRunner().invoke(main, ["report", str(results)])
    assert found.exit_code == 1
    assert "train.csv is not as manifest.json has it" in found.output


# What a user sees


def briefly(folder, last):
    """`vdiff run --brief` of three steps, of which the last is a command; its process."""
    (folder / "Snakefile").write_text(
        'rule all:\n    input: "a", "b"\n'
        'rule first:\n    output: "a"\n    shell: "touch a"\n'
        'rule second:\n    input: "a"\n    output: "b"\n    log: "second.log"\n'
        f"    shell: {last!r}\n"
    )
    words = ["run", "--brief", "--snakefile", "Snakefile", "--cores", "1", "--show-failed-logs"]
    return subprocess.Popen(
        [sys.executable, "-P", str(ROOT / "vdiff/__main__.py"), *words], cwd=folder, text=True,
        env={**os.environ, "VDIFF_PROGRESS": "bar"}, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_a_brief_run_is_one_bar_and_one_file_and_says_what_failed_and_can_be_terminated(tmp_path):
    """It then waits for its jobs, as Snakemake does, which would otherwise run on and hold the
    folder; and the next one can go on."""
    run = briefly(tmp_path, "echo the reason > {log}; exit 3")
    failed = run.communicate()[1]
    assert run.returncode == 1
    assert "Error in rule second:" in failed and "the reason" in failed
    assert "rule first" not in failed and "3/3" not in failed
    run = briefly(tmp_path, "touch started; sleep 5; touch b")
    while not (tmp_path / "started").exists():
        assert run.poll() is None
        time.sleep(0.1)
    run.terminate()
    run.communicate(timeout=60)
    assert (tmp_path / "b").exists()
    run = briefly(tmp_path, "touch b")
    said = run.communicate()[1]
    assert run.returncode == 0, said
    assert "2/2" in said and "Error" not in said
    (name,) = re.findall(r"^Messages go to (.*)\.$", said, re.MULTILINE)
    assert "Finished jobid" in (tmp_path / name).read_text()
    assert len(said.splitlines()) - said.count("vdiff run:") < 4
