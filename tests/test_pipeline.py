"""The whole smoke DAG through Snakemake, in a copy of the project."""

import hashlib
import json
import re
import shutil
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from rocrate.rocrate import ROCrate
from support.browser import opened
from support.pipeline import copy_project, planned, snakemake

from vdiff.cli import main
from vdiff.files.schemas import SCHEMAS


def test_every_figure_and_table_is_there(finished):
    folder, output = finished
    results = folder / "results" / "smoke"
    assert "the report is results/smoke/report.html" in output
    assert json.loads((results / "claims.json").read_text())["claims"]
    names = {path.stem for path in (results / "figures").glob("*.png")}
    assert {name for name in names if f"{name}-dark" in names} == {
        name for name in names if not name.endswith("-dark")
    }
    names = {name for name in names if not name.endswith("-dark")}
    assert names == {path.stem for path in (results / "figures").glob("*.pdf")}
    assert names == {
        "bpd-digits", "bpd-swissroll", "bpd-cosine",
        "standard-error-digits", "standard-error-swissroll", "standard-error-cosine",
        "samples-digits", "lambda-grid-swissroll", "lambda-strips-swissroll", "loss",
        "distances-swissroll", "variance-swissroll", "likelihood",
        "differences", "published-curves",
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
        assert list(frame.columns) == list(SCHEMAS[schema])
        assert len(frame) > 0
        assert np.isfinite(frame.select_dtypes("number").get("bpd", pd.Series([0.0]))).all()


def test_progress_shows_speed_and_bpd(finished):
    _, output = finished
    assert re.search(r"train digits debias-True seed=1: +100%.*it/s, bpd=\d", output)


def test_a_second_run_does_nothing(finished):
    assert "Nothing to be done" in snakemake(finished[0])


def test_changing_a_seed_trains_only_that_run(finished):
    seeds = "experiments={digits: {seeds: [0, 2]}}"
    jobs = planned(snakemake(finished[0], "-n", "--config", "preset=smoke", seeds))
    assert jobs["train"] == "2"  # debias False and True
    assert "trajectory" not in jobs


def test_the_same_seeds_give_the_same_bytes(finished, tmp_path):
    copy_project(tmp_path)
    base = "results/smoke/runs/digits/debias-True/seed-0"
    snakemake(tmp_path, f"{base}/evaluation.csv", f"{base}/samples.csv")
    for name in ("train.csv", "snapshots.csv", "evaluation.csv", "per_image.npz", "samples.npz"):
        assert (tmp_path / base / name).read_bytes() == (finished[0] / base / name).read_bytes()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("colour=1", "The configuration key colour is unknown"),
        ("experiments={digits: {training: {lr: fast}}}", "digits.training.lr is 'fast'"),
        ("experiments={digits: {seeds: [-1]}}", "seeds.0 is"),
    ],
)
def test_a_wrong_key_ends_before_the_dag_in_one_sentence(finished, setting, words):
    output = snakemake(finished[0], "-n", "--config", "preset=smoke", setting, code=1)
    assert words in output
    assert "Traceback" not in output
    assert "Building DAG" not in output


def test_lint_and_rulegraph(finished):
    assert "good condition" in snakemake(finished[0], "--lint")
    assert "digraph" in snakemake(finished[0], "--rulegraph")


def test_a_browser_shows_the_report(finished, tmp_path):
    results = finished[0] / "results" / "smoke"
    dom, messages = opened(results / "report.html", tmp_path)
    figures = [p for p in (results / "figures").glob("*.*") if p.suffix in (".png", ".webp")]
    shown = [p for p in figures if not p.stem.endswith("-dark")]
    assert f'data-images="{len(shown)}"' in dom
    assert 'data-broken="0"' in dom
    assert ":CONSOLE(" not in messages
    for row in json.loads((results / "claims.json").read_text())["claims"]:
        assert row["claim"] in dom


def test_every_result_has_a_manifest(finished):
    folder, _ = finished
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


def test_results_become_a_research_object(finished, tmp_path):
    folder, _ = finished
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


@pytest.mark.parametrize("profile", ["gpu", "slurm", "cluster-generic"])
def test_every_profile_plans_the_same_jobs(tmp_path, profile):
    copy_project(tmp_path)
    plain = planned(snakemake(tmp_path, "-n"))
    assert plain["train"] == "6"
    words = ["-n", "--quiet", "rules", "--profile", f"workflow/profiles/{profile}"]
    assert planned(snakemake(tmp_path, *words)) == plain


def test_a_sweep_of_a_thousand_runs_is_planned(tmp_path):
    """That its DAG is right; how fast it is built is measured in benchmarks/README.md."""
    copy_project(tmp_path)
    lists = {"seeds": list(range(25)), "sweep": {"training.lr": [k / 1e4 for k in range(1, 11)]}}
    sweep = {"swissroll": {**lists, "arms": {"debias-True": {}}}, "digits": lists}
    (tmp_path / "sweep.yaml").write_text(
        json.dumps({"only": ["swissroll", "digits"], "experiments": sweep})
    )
    words = ["-n", "--quiet", "rules", "--configfile", "sweep.yaml"]
    jobs = planned(snakemake(tmp_path, *words, "--config", "preset=smoke"))
    assert jobs["train"] == jobs["evaluate"] == "1000"
