"""Results know what they are: what becomes of a finished folder when one thing about it changes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from filelock import FileLock
from support.pipeline import ROOT, copy_code, copy_project, environment, snakemake

import vdiff
from vdiff.cli import main
from vdiff.errors import VdiffError
from vdiff.files.provenance import provenance_of

MINE = {
    "preset": "smoke",
    "only": ["own"],
    "experiments": {
        "own": {
            "dataset": "npz:own.npz",
            "network": {"channels": 8, "multipliers": [1], "blocks": 1, "groups": 2},
            "training": {"iterations": 6, "batch_size": 8, "snapshot_every": 3, "lr": 0.001},
            "evaluation": {"estimators": ["published", "efficient"], "pilot": 64},
        }
    },
}
TRUE, FALSE = (f"results/smoke/runs/own/debias-{word}/seed-0" for word in ("True", "False"))


def images(seed=0, test_seed=0):
    """Training and test images of 8x8 grey levels."""
    draw = [np.random.default_rng(s) for s in (seed, 100 + test_seed)]
    return {
        "train_x": draw[0].integers(0, 256, (40, 8, 8), dtype=np.uint8),
        "test_x": draw[1].integers(0, 256, (10, 8, 8), dtype=np.uint8),
    }


def mine(**training):
    """The configuration with other keys of training, as JSON, which is YAML too."""
    content = json.loads(json.dumps(MINE))
    content["experiments"]["own"]["training"].update(training)
    return json.dumps(content)


def pipeline(folder, *words, code=0):
    """Targets among the words come before options, which take all that follows."""
    words = [*words, "--configfile", "mine.yaml", "--config", "preset=smoke"]
    return snakemake(folder, *words, code=code)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with the finished results of one's own images; made once, not changed."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder, done = shared / "own", shared / "own.done"
    with FileLock(shared / "own.lock"):
        if not done.exists():
            copy_project(folder)
            np.savez(folder / "own.npz", **images())
            (folder / "mine.yaml").write_text(mine())
            pipeline(folder)
            done.touch()
    return folder


@pytest.fixture
def moved(trained, tmp_path):
    """The results, data and configuration in another place, without what Snakemake noted."""
    folder = copy_project(tmp_path / "moved")
    for name in ("own.npz", "mine.yaml"):
        shutil.copy2(trained / name, folder / name)
    shutil.copytree(trained / "results", folder / "results")
    return folder


def remade(folder, *words):
    """The outputs that a dry run plans, relative to the results."""
    output = pipeline(folder, "-n", *words)
    found = re.findall(r"^ +output: (.*)$", output, re.M)
    paths = [path for line in found for path in line.split(", ")]
    return {path.removeprefix("results/smoke/") for path in paths}


RUN = {"train.csv", "snapshots.csv", "weights"}
MEASURED = {"evaluation.csv", "per_image.npz"}
GATHERED = {"evaluation.csv", "curves.csv", "differences.csv", "claims.csv", "report.html"}


def of_runs(names, *arms):
    arms = arms or ("debias-True", "debias-False")
    return {f"runs/own/{arm}/seed-0/{name}" for arm in arms for name in names}


def test_a_folder_in_another_place_is_kept(moved):
    """Whatever the time stamps are, for cp sets new ones."""
    assert "train.csv" not in remade(moved)
    assert of_runs(RUN) & remade(moved) == set()


@pytest.mark.parametrize("trigger", [[], ["--rerun-triggers", "mtime"]], ids=["all", "mtime"])
def test_another_configuration_is_made_again_wherever_the_folder_is(moved, trigger):
    (moved / "mine.yaml").write_text(mine(lr=0.05))
    found = remade(moved, *trigger)
    assert of_runs(RUN | MEASURED | {"run.json"}) | GATHERED | {"train.csv"} <= found


def test_what_is_missing_is_made_though_something_else_does_not_fit(moved):
    """A file of another seed that is asked for alone, in a folder whose own seed does not fit."""
    content = json.loads(mine(lr=0.01))
    content["experiments"]["own"]["seeds"] = [0, 1]
    (moved / "mine.yaml").write_text(json.dumps(content))
    found = remade(moved, f"{TRUE.replace('seed-0', 'seed-1')}/train.csv")
    assert {f"runs/own/debias-True/seed-1/{name}" for name in {*RUN, "run.json"}} <= found
    assert not any("seed-0" in name for name in found)


def test_other_data_are_made_again(moved):
    np.savez(moved / "own.npz", **images(seed=1))
    assert of_runs(RUN | MEASURED) | GATHERED <= remade(moved, "--rerun-triggers", "mtime")


def test_the_same_images_with_labels_and_other_compression_are_the_same_data(moved):
    labels = {"train_y": np.arange(40) % 2, "test_y": np.arange(10) % 2}
    np.savez_compressed(moved / "own.npz", **images(), **labels)
    assert of_runs(RUN | MEASURED) & remade(moved) == set()


def test_other_code_is_made_again(moved):
    path = copy_code(moved) / "vdiff" / "stats" / "uncertainty.py"
    path.write_text(f"{path.read_text()}\n\ndef added_by_a_test():\n    return 1\n")
    found = remade(moved, "--rerun-triggers", "mtime")
    assert of_runs(MEASURED) | GATHERED <= found
    assert of_runs(RUN) & found == set()


def test_a_table_of_another_arm_under_this_name_is_made_again(moved):
    shutil.copy2(moved / FALSE / "per_image.npz", moved / TRUE / "per_image.npz")
    found = remade(moved, "--rerun-triggers", "mtime")
    assert of_runs(MEASURED, "debias-True") | {"differences.csv", "claims.csv"} <= found
    assert of_runs(MEASURED, "debias-False") & found == set()


def test_a_changed_table_is_made_again_by_the_pipeline_and_refused_by_hand(moved):
    path = moved / TRUE / "evaluation.csv"
    path.write_text(path.read_text().replace(",1", ",2", 1))
    assert of_runs({"evaluation.csv"}, "debias-True") <= remade(moved, "--rerun-triggers", "mtime")
    words = ["aggregate", "evaluation", str(path), "--out", str(moved / "out.csv")]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 1
    assert "is not the file that" in found.output
    assert not (moved / "out.csv").exists()


def test_a_time_stamp_alone_changes_no_number(moved):
    """What is made again has the same bytes."""
    before = {p: (moved / p).read_bytes() for p in (f"{TRUE}/evaluation.csv", f"{TRUE}/train.csv")}
    (moved / TRUE / "run.json").touch()
    pipeline(moved, f"{TRUE}/evaluation.csv")
    assert before == {p: (moved / p).read_bytes() for p in before}


def test_values_that_change_places_are_seen_and_touching_does_not_hide_them(trained, tmp_path):
    """Snakemake compares parameters as a set of values without names, and `--touch` takes all for
    made; provenance does neither. With what Snakemake noted, and by that of two runs in turn."""
    folder = shutil.copytree(trained, tmp_path / "whole", symlinks=True)
    (folder / "mine.yaml").write_text(mine(iterations=8, batch_size=6))  # for 6 and 8
    assert of_runs(RUN | MEASURED) | GATHERED <= remade(folder)
    pipeline(folder, "--touch")
    assert of_runs(RUN | MEASURED) | GATHERED <= remade(folder)
    (folder / "mine.yaml").write_text(mine())
    assert of_runs(RUN | MEASURED) & remade(folder) == set()


def test_records_that_are_touched_cost_nothing(moved):
    """Case 21: whether results fit is in the provenance, not in their time stamps."""
    later = time.mktime((2035, 1, 1, 0, 0, 0, 0, 1, -1))
    for path in moved.glob("results/**/.made/*.json"):
        os.utime(path, (later, later))
    assert remade(moved) == set()


@pytest.mark.parametrize("folder", ["results", "results/smoke/runs", TRUE])
def test_a_folder_that_is_moved_and_linked_back_costs_nothing(moved, folder):
    """Case 21; what is changed behind the link is noticed."""
    elsewhere = moved.with_name("elsewhere")
    shutil.move(moved / folder, elsewhere)
    (moved / folder).symlink_to(elsewhere)
    assert remade(moved) == set()
    shutil.copy2(moved / FALSE / "per_image.npz", moved / TRUE / "per_image.npz")
    assert {"differences.csv", "claims.csv"} <= remade(moved)


def test_metadata_that_are_lost_cost_time_alone(moved):
    """Provenance that is gone: its file is made again, to the same bytes."""
    path = moved / TRUE / "evaluation.csv"
    before = path.read_bytes()
    provenance_of(path).unlink()
    assert of_runs({"evaluation.csv"}, "debias-True") <= remade(moved, "--rerun-triggers", "mtime")
    pipeline(moved, f"{TRUE}/evaluation.csv", "--rerun-triggers", "mtime")
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_new_seed_does_not_leave_the_old_one_at_another_step_size(moved):
    """Case 1: the two seeds of curves.csv have one configuration."""
    content = json.loads(mine(lr=0.01))
    content["experiments"]["own"]["seeds"] = [0, 1]
    (moved / "mine.yaml").write_text(json.dumps(content))
    pipeline(moved, "results/smoke/curves.csv", "--rerun-triggers", "mtime")
    for seed in (0, 1):
        run = json.loads((moved / TRUE).with_name(f"seed-{seed}").joinpath("run.json").read_text())
        assert run["training"]["lr"] == 0.01
    assert set(pd.read_csv(moved / "results/smoke/curves.csv")["seeds"]) == {2}


def test_weights_are_kept_when_the_state_is_deleted(moved):
    """Case 13."""
    shutil.rmtree(moved / "results/smoke/state")
    content = json.loads(mine())
    content["experiments"]["own"]["evaluation"]["images"] = 5
    (moved / "mine.yaml").write_text(json.dumps(content))
    assert of_runs(RUN) & remade(moved) == set()
    pipeline(moved, f"{TRUE}/evaluation.csv")
    assert set(pd.read_csv(moved / TRUE / "evaluation.csv")["images"]) == {5}
    (moved / TRUE / "weights" / "00000003.safetensors").unlink()
    assert of_runs(RUN, "debias-True") <= remade(moved)


def test_tables_of_different_configurations_are_not_averaged_by_hand(moved):
    other = moved / "other"
    run = json.loads((moved / TRUE / "run.json").read_text())
    run["training"]["lr"], run["seed"] = 0.05, 1
    (moved / "other.json").write_text(json.dumps(run))
    here = Path.cwd()
    os.chdir(moved)
    try:
        words = ["train", "--run", "other.json", "--out", str(other)]
        assert CliRunner().invoke(main, words).exit_code == 0
        tables = [f"{TRUE}/train.csv", str(other / "train.csv")]
        found = CliRunner().invoke(main, ["aggregate", "train", *tables, "--out", "both.csv"])
    finally:
        os.chdir(here)
    assert found.exit_code == 1
    assert "were made from different run.training" in found.output


def test_a_run_knows_its_data(moved, monkeypatch):
    """Case 6: by load and by hand, from another folder or with another file."""
    monkeypatch.chdir(moved)
    vdiff.load(TRUE)
    np.savez("own.npz", **images(test_seed=1))
    with pytest.raises(VdiffError, match="holds other test images than the run of"):
        vdiff.load(TRUE)
    np.savez("own.npz", **images(seed=1))
    words = ["evaluate", f"--run={TRUE}/run.json", f"--snapshots={TRUE}/snapshots.csv"]
    found = CliRunner().invoke(main, [*words, "--out=new.csv"])
    assert found.exit_code == 1
    assert "holds other training images" in found.output
    assert not Path("new.csv").exists()


def test_pairs_of_different_images_are_refused(moved, monkeypatch):
    """Case 7: by `compare` of two folders, and by `difference`."""
    monkeypatch.chdir(moved)
    found = {name: dict(np.load(f"{TRUE}/{name}")) for name in ("per_image.npz",)}["per_image.npz"]
    shutil.copytree("results/smoke", "theirs")
    theirs = Path(TRUE.replace("results/smoke", "theirs")) / "per_image.npz"
    found["images"] = found["images"] + np.uint64(1)
    np.savez(theirs, **found)
    provenance_of(theirs).unlink()
    result = CliRunner().invoke(main, ["compare", "results/smoke", "theirs", "--out", "d.csv"])
    assert result.exit_code == 1
    assert "evaluated on different images" in result.output
    np.savez("nothing.npz", images=np.zeros(10, np.uint64))
    words = ["difference", "nothing.npz", "nothing.npz", "--out", "d.csv", "--experiment", "own"]
    result = CliRunner().invoke(main, [*words, "--first", "a", "--second", "b"])
    assert result.exit_code == 1
    assert "no estimator and iteration in common" in result.output
    assert not Path("d.csv").exists()


def test_examples_are_those_that_were_seen(moved):
    """Case 8: 40 images, batches of 64: 40 an iteration."""
    (moved / "mine.yaml").write_text(mine(batch_size=64))
    pipeline(moved, f"{TRUE}/evaluation.csv")
    table = pd.read_csv(moved / TRUE / "evaluation.csv")
    assert (table["examples"] == 40 * table["iteration"]).all()


@pytest.mark.slow
def test_the_jobs_run_the_workflows_code(trained, tmp_path):
    """Case 4: older checkouts in the working folder and on PYTHONPATH, and a random.py, which
    Snakemake itself would import from PYTHONPATH, lie in the way."""
    project = copy_project(tmp_path / "project", own_code=True)
    folder, later = tmp_path / "run", tmp_path / "later"
    for place in (folder, later):
        (place / "vdiff").mkdir(parents=True)
        for name in ("__init__.py", "__main__.py"):
            (place / "vdiff" / name).write_text("raise SystemExit('the wrong code')\n")
    (folder / "random.py").write_text("raise SystemExit('the wrong module')\n")
    for name in ("own.npz", "mine.yaml"):
        shutil.copy2(trained / name, folder / name)
    env = environment(project)
    env["PYTHONPATH"] = os.pathsep.join([str(project), str(later)])
    command = [sys.executable, "-P", "-m", "snakemake", f"{TRUE}/evaluation.csv", "--cores", "1"]
    command += ["--snakefile", str(project / "Snakefile"), "--configfile", "mine.yaml"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    ours, theirs = (f / TRUE / "evaluation.csv" for f in (folder, trained))
    assert ours.read_bytes() == theirs.read_bytes()


def test_modules_on_pythonpath_do_not_replace_the_jobs_own(tmp_path):
    """Case 4: a random.py on PYTHONPATH comes after Python's own."""
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong module')\n")
    entry = str(ROOT / "vdiff/__main__.py")
    code = "import runpy, sys; entry = sys.argv.pop(1); runpy.run_path(entry, run_name='__main__')"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", "-c", code, entry, "presets"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout.split()[0] == "demo", done.stderr
