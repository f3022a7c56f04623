"""The whole smoke DAG through Snakemake, in a copy of the project."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import ROOT
from PIL import Image
from rocrate.rocrate import ROCrate
from test_report import opened

from vdiff.cli import main
from vdiff.tidy import SCHEMAS


def copy_project(folder):
    for name in ("vdiff", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")


def snakemake(folder, *words, code=0):
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *words]
    command += ["--config", "preset=smoke"] if "--config" not in words else []
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # noqa: PTH120
    environment = {**os.environ, "PYTHONPATH": str(folder), "PATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr[-4000:]
    return done.stdout + done.stderr


def planned(output):
    """Rules and numbers of jobs of a dry run."""
    table = re.search(r"job +count\n-+ +-+\n(.*?)\ntotal", output, re.S)
    return {} if table is None else dict(line.split() for line in table[1].splitlines())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    output = snakemake(folder)
    return folder, output


def test_every_figure_and_table_is_there(project):
    folder, output = project
    results = folder / "results" / "smoke"
    assert "read results/smoke/report.html" in output
    assert json.loads((results / "claims.json").read_text())["claims"]
    names = {path.stem for path in (results / "figures").glob("*.png")}
    assert {name for name in names if f"{name}-dark" in names} == {
        name for name in names if not name.endswith("-dark")
    }
    names = {name for name in names if not name.endswith("-dark")}
    assert names == {path.stem for path in (results / "figures").glob("*.pdf")}
    assert names == {
        "bpd-digits", "bpd-swissroll", "standard-error-digits", "standard-error-swissroll",
        "samples-digits", "lambda-grid-swissroll", "lambda-strips-swissroll", "loss",
        "distances-swissroll", "variance-swissroll", "likelihood",
        "differences", "published",
    }  # fmt: skip
    for name in ("lambda-swissroll", "sampling-digits"):
        with Image.open(results / "figures" / f"{name}.webp") as film:
            assert film.n_frames > 1
    for schema in (
        "train",
        "evaluation",
        "curves",
        "samples",
        "trajectory",
        "distances",
        "likelihood",
        "gradient",
    ):
        frame = pd.read_csv(results / f"{schema}.csv")
        assert list(frame.columns) == SCHEMAS[schema]
        assert len(frame) > 0
        assert np.isfinite(frame.select_dtypes("number").get("bpd", pd.Series([0.0]))).all()


def test_progress_shows_speed_and_bpd(project):
    _, output = project
    assert re.search(r"train digits debias=True seed=1: +100%.*it/s, bpd=\d", output)


def test_a_second_run_does_nothing(project):
    assert "Nothing to be done" in snakemake(project[0])


def test_touching_a_figure_module_remakes_that_figure_alone(project):
    folder, _ = project
    (folder / "vdiff" / "figures" / "loss.py").touch()
    jobs = {"figure_loss": "1", "manifest": "1", "report": "1", "all": "1"}
    assert planned(snakemake(folder, "-n")) == jobs
    snakemake(folder)
    assert planned(snakemake(folder, "-n")) == {}


def test_changing_a_seed_trains_only_that_run(project):
    seeds = "experiments={digits: {seeds: [0, 2]}}"
    jobs = planned(snakemake(project[0], "-n", "--config", "preset=smoke", seeds))
    assert jobs["train"] == "2"  # debias False and True
    assert "trajectory" not in jobs


def test_the_same_seeds_give_the_same_bytes(project, tmp_path):
    copy_project(tmp_path)
    base = "results/smoke/runs/digits/debias-True/seed-0"
    snakemake(tmp_path, f"{base}/evaluation.csv", f"{base}/samples.csv")
    for name in ("train.csv", "snapshots.csv", "evaluation.csv", "per_image.npz", "samples.npz"):
        assert (tmp_path / base / name).read_bytes() == (project[0] / base / name).read_bytes()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("colour=1", "The configuration key colour is unknown"),
        ("experiments={digits: {training: {lr: fast}}}", "digits.training.lr is 'fast'"),
        ("experiments={digits: {seeds: [-1]}}", "seeds.0 is"),
    ],
)
def test_a_wrong_key_ends_before_the_dag_in_one_sentence(project, setting, words):
    output = snakemake(project[0], "-n", "--config", "preset=smoke", setting, code=1)
    assert words in output
    assert "Traceback" not in output
    assert "Building DAG" not in output


def test_lint_and_rulegraph(project):
    assert "good condition" in snakemake(project[0], "--lint")
    assert "digraph" in snakemake(project[0], "--rulegraph")


def test_a_browser_shows_the_report(project, tmp_path):
    results = project[0] / "results" / "smoke"
    dom, messages = opened(results / "report.html", tmp_path)
    figures = [p for p in (results / "figures").glob("*.*") if p.suffix in (".png", ".webp")]
    shown = [p for p in figures if not p.stem.endswith("-dark")]
    assert f'data-images="{len(shown)}"' in dom
    assert 'data-broken="0"' in dom
    assert ":CONSOLE(" not in messages
    for row in json.loads((results / "claims.json").read_text())["claims"]:
        assert row["claim"] in dom


def test_every_result_has_a_manifest(project):
    folder, _ = project
    results = folder / "results" / "smoke"
    made = json.loads((results / "manifest.json").read_text())["results"]
    expected = {"state", "logs", "benchmarks", "manifest.json", "report.html"}
    files = [path.relative_to(results) for path in results.rglob("*") if path.is_file()]
    assert set(made) == {str(name) for name in files if name.parts[0] not in expected}
    for name, record in made.items():
        content = (results / name).read_bytes()
        assert record["sha256"] == hashlib.sha256(content).hexdigest()
        assert record["seconds"] > 0, name
        assert record["command"][0] == "vdiff"
    run = "runs/digits/debias-True/seed-1"
    assert made[f"{run}/train.csv"]["rule"] == "train"
    assert made[f"{run}/train.csv"]["device"] == "cpu"
    assert len(made[f"{run}/evaluation.csv"]["data"]["digits"]) == 64
    assert made["figures/bpd-digits.pdf"]["rule"] == "figure_bpd"
    distances = "runs/swissroll/debias-False/seed-0/distances-exact.csv"
    assert made[distances]["rule"] == "distances"


def test_results_become_a_research_object(project, tmp_path):
    folder, _ = project
    results, out = folder / "results" / "smoke", tmp_path / "smoke.zip"
    assert CliRunner().invoke(main, ["export", str(results), "--out", str(out)]).exit_code == 0
    crate = ROCrate(out)
    files = {e.id for e in crate.data_entities if e.type == "File"}
    with ZipFile(out) as archive:
        assert files == set(archive.namelist()) - {"ro-crate-metadata.json"}
    assert {"report.html", "manifest.json", "figures/bpd-digits.pdf"} <= files
    action = crate.dereference("#run")
    assert action["instrument"]["name"] == "vdiff"
    assert len(action["result"]) == len(files)
    assert crate.license.id == "https://spdx.org/licenses/MIT"

    changed = tmp_path / "changed"
    shutil.copytree(results, changed, ignore=shutil.ignore_patterns("state"))
    (changed / "train.csv").write_text("other\n")
    result = CliRunner().invoke(main, ["export", str(changed), "--out", str(tmp_path / "no.zip")])
    assert result.exit_code == 1
    assert not (tmp_path / "no.zip").exists()


@pytest.mark.parametrize("profile", ["default", "gpu", "slurm", "cluster-generic"])
def test_every_profile_plans_the_same_jobs(tmp_path, profile):
    copy_project(tmp_path)
    plain = planned(snakemake(tmp_path, "-n"))
    assert plain["train"] == "5"
    words = ["-n", "--quiet", "rules", "--profile", f"workflow/profiles/{profile}"]
    assert planned(snakemake(tmp_path, *words)) == plain


def test_a_sweep_of_a_thousand_runs_is_planned(tmp_path):
    """That its DAG is right; how fast it is built is measured in benchmarks/README.md."""
    copy_project(tmp_path)
    lists = {"seeds": list(range(25)), "lrs": [k / 1e4 for k in range(1, 11)]}
    sweep = {"swissroll": {**lists, "debias": [False, True]}, "digits": lists}
    (tmp_path / "sweep.yaml").write_text(json.dumps({"experiments": sweep}))
    words = ["-n", "--quiet", "rules", "--configfile", "sweep.yaml"]
    jobs = planned(snakemake(tmp_path, *words, "--config", "preset=smoke"))
    assert jobs["train"] == jobs["evaluate"] == "1000"
