"""The whole smoke DAG through Snakemake, in a copy of the project."""

import functools
import hashlib
import json
import os
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
from support.crates import issues
from support.pipeline import copy_project, planned, snakemake

from vdiff.cli import main
from vdiff.config import load_config
from vdiff.config.specs import SPECS
from vdiff.files.crate import export
from vdiff.files.layout import run_files, runs
from vdiff.files.objects import write_json
from vdiff.files.schemas import SCHEMAS
from vdiff.report.contents import described, read_config


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
        "examples-digits", "examples-swissroll", "examples-cosine",
        "samples-digits", "lambda-grid-swissroll", "lambda-strips-swissroll", "loss",
        "distances-swissroll", "variance-swissroll", "gradient-bias", "gap", "likelihood",
        "differences", "published-curves", "quality-digits", "quality-course-digits",
        "forms-swissroll", "theory-swissroll", "inference-swissroll", "headline",
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


def test_snakemakes_own_report_has_captions_categories_and_a_first_page(finished_copy):
    snakemake(finished_copy, "--report", "report.zip")
    with ZipFile(finished_copy / "report.zip") as archive:
        page = archive.read("report/report.html").decode()
    assert "measured by the preset" in page
    assert "<strong>smoke</strong>" in page
    for words in ("Claims", "Likelihood", "The lambda family", "Sixteen images being sampled"):
        assert words in page


@pytest.mark.slow
def test_kept_results_are_drawn_again_to_the_same_bytes_without_torch(finished_copy):
    """By Snakemake from results/reference, and from a crate; a torch that raises is never met."""
    results, kept = (finished_copy / "results" / name for name in ("smoke", "reference/smoke"))
    done = CliRunner().invoke(main, ["keep", str(results), str(kept)])
    assert done.exit_code == 0, done.output
    assert not list(kept.rglob("weights")) + list(kept.rglob("per_image.npz"))
    (finished_copy / "torch.py").write_text("raise RuntimeError('torch was imported')")
    output = snakemake(finished_copy, "reference")
    assert "not as the manifest has it" not in output
    out, crate = finished_copy / "smoke.zip", finished_copy / "crate"
    export(results, out)
    ZipFile(out).extractall(crate)
    done = CliRunner().invoke(main, ["report", str(crate)])
    assert done.exit_code == 0
    assert "not as the manifest has it" not in done.output
    made = [path.relative_to(results) for path in (results / "figures").glob("*.*")]
    made = [name for name in made if name.suffix]
    for name in (*made, "report.html"):
        assert (kept / name).read_bytes() == (results / name).read_bytes(), name


@pytest.mark.slow
def test_a_changed_figure_or_a_lost_table_is_named(finished_copy):
    results = finished_copy / "results" / "smoke"
    few = described(load_config({"preset": "smoke", "only": ["cosine"]}))
    write_json(results / "config.json", few)
    table = pd.read_csv(results / "train.csv").assign(loss=1.0)
    table.to_csv(results / "train.csv", index=False)
    done = CliRunner().invoke(main, ["report", str(results)])
    assert done.exit_code == 1
    assert "train.csv is not as manifest.json has it" in done.output
    manifest = json.loads((results / "manifest.json").read_text())
    content = (results / "train.csv").read_bytes()
    manifest["results"]["train.csv"]["sha256"] = hashlib.sha256(content).hexdigest()
    (results / "manifest.json").write_text(json.dumps(manifest))
    done = CliRunner().invoke(main, ["report", str(results)])
    assert done.exit_code == 0
    assert "loss.png is not as the manifest has it" in done.output
    assert "loss.pdf" not in done.output  # its last decimals are the processor's
    (results / "curves.csv").unlink()
    done = CliRunner().invoke(main, ["report", str(results)])
    assert done.exit_code == 1
    assert "curves.csv" in done.output
    assert "Traceback" not in done.output
    done = CliRunner().invoke(main, ["keep", str(results), str(finished_copy / "kept")])
    assert done.exit_code == 1
    assert not (finished_copy / "kept").exists()


def test_a_browser_shows_the_report(finished, tmp_path):
    results = finished[0] / "results" / "smoke"
    dom, messages = opened(results / "report.html", tmp_path)
    figures = [p for p in (results / "figures").glob("*.*") if p.suffix in (".png", ".webp")]
    shown = [p for p in figures if not p.stem.endswith("-dark")]
    slides = len(list(results.rglob("trajectory/*.npz")))
    assert dom.count("data-lmbd=") == slides > 1
    assert f'data-images="{len(shown) + slides}"' in dom
    assert 'data-broken="0"' in dom
    assert ":CONSOLE(" not in messages
    for row in json.loads((results / "claims.json").read_text())["claims"]:
        assert row["claim"] in dom


def test_every_result_has_a_manifest(finished):
    folder, _ = finished
    results = folder / "results" / "smoke"
    made = json.loads((results / "manifest.json").read_text())["results"]
    expected = {"state", "logs", "manifest.json", "report.html"}
    files = [path.relative_to(results) for path in results.rglob("*") if path.is_file()]
    beside = {".made", "weights"}  # provenance, and what snapshots.csv has the checksums of
    files = [name for name in files if not beside & set(name.parts)]
    assert set(made) == {str(name) for name in files if name.parts[0] not in expected}
    for name, receipt in made.items():
        content = (results / name).read_bytes()
        assert receipt["sha256"] == hashlib.sha256(content).hexdigest()
        assert receipt["seconds"] > 0, name
        assert receipt["command"][0] == "vdiff"
    run = "runs/digits/debias-True/seed-1"
    assert made[f"{run}/train.csv"]["rule"] == "train"
    assert made[f"{run}/train.csv"]["device"] == "cpu"
    assert len(made[f"{run}/evaluation.csv"]["data"]["digits"]) == 64
    assert made["figures/bpd-digits.pdf"]["rule"] == "figure_bpd"
    distances = "runs/swissroll/debias-False/seed-0/distances-exact.csv"
    assert made[distances]["rule"] == "distances"


def several(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.slow
def test_a_crate_that_breaks_the_profile_is_found(finished, tmp_path, monkeypatch):
    out = tmp_path / "smoke.zip"
    export(finished[0] / "results" / "smoke", out)
    ZipFile(out).extractall(tmp_path / "crate")
    file = tmp_path / "crate" / "ro-crate-metadata.json"
    file.write_text(file.read_text().replace('"HowToStep"', '"HowTo"'))
    assert any("HowToStep" in issue for issue in issues(tmp_path / "crate", monkeypatch))


@pytest.mark.slow
def test_results_become_a_research_object(finished, tmp_path, monkeypatch):
    folder, _ = finished
    results, out = folder / "results" / "smoke", tmp_path / "smoke.zip"
    words = ["export", str(results), "--out", str(out), "--author", "A. Person"]
    assert CliRunner().invoke(main, words).exit_code == 0
    ZipFile(out).extractall(tmp_path / "crate")
    crate = ROCrate(out)
    files = {e.id for e in crate.data_entities if "File" in several(e.type)}
    with ZipFile(out) as archive:
        assert files == set(archive.namelist()) - {"ro-crate-metadata.json"}
    assert {"report.html", "manifest.json", "figures/bpd-digits.pdf"} <= files
    action = crate.dereference("#run")
    assert action["instrument"].id == "Snakefile"
    sources = {name for name in files if name.endswith(".smk")} | {"Snakefile"}
    made = {e.id for e in action["result"]}
    assert made == files - sources - {"config.json"}
    assert action["agent"]["name"] == "A. Person"
    assert crate.license.id == "https://spdx.org/licenses/MIT"
    assert issues(tmp_path / "crate", monkeypatch) == []

    # Each result is that of one step, whose inputs are results, too.
    actions = [e for e in crate.contextual_entities if e.id.startswith("#action-")]
    by_result = {e.id: a for a in actions for e in several(a["result"])}
    assert set(by_result) >= made - {"manifest.json", "report.html", "swissroll.ipynb"}
    step = by_result["runs/digits/debias-True/seed-1/evaluation.csv"]
    assert step["instrument"]["name"] == "vdiff evaluate"
    folder = "runs/digits/debias-True/seed-1"
    used = {e.id for e in several(step["object"])}
    assert {f"{folder}/run.json", f"{folder}/snapshots.csv"} <= used
    assert step["startTime"] < step["endTime"]
    for control in (e for e in crate.contextual_entities if e.id.startswith("#control-")):
        assert control["instrument"]["workExample"] == control["object"]["instrument"]

    changed = tmp_path / "changed"
    shutil.copytree(results, changed, ignore=shutil.ignore_patterns("state"))
    (changed / "train.csv").write_text("other\n")
    result = CliRunner().invoke(main, ["export", str(changed), "--out", str(tmp_path / "no.zip")])
    assert result.exit_code == 1
    assert not (tmp_path / "no.zip").exists()


@pytest.fixture(scope="module")
def dry_runs(tmp_path_factory):
    """profile -> what a dry run with it says, without one for None; each is run once."""
    folder = copy_project(tmp_path_factory.mktemp("profiles"))

    @functools.cache
    def said(profile):
        words = ["--profile", f"workflow/profiles/{profile}"] if profile else []
        return snakemake(folder, "-n", *words)

    return said


@pytest.mark.parametrize("profile", ["gpu", "slurm", "cluster-generic"])
def test_every_profile_plans_the_same_jobs(dry_runs, profile):
    plain = planned(dry_runs(None))
    assert plain["train"] == "6"
    assert planned(dry_runs(profile)) == plain


@pytest.mark.parametrize("profile", ["default", "gpu", "slurm", "cluster-generic"])
def test_every_job_with_a_network_asks_for_a_gpu_and_no_other(dry_runs, profile):
    output = dry_runs(profile)
    jobs = re.findall(r"^(?:local)?rule (\w+):\n(.*?)^\[", output, re.S | re.M)
    asking = {name: set() for name, _ in jobs}
    for name, block in jobs:
        asking[name].add("gpu=1" in block.split("resources:")[-1])
    with_network = {"train", *SPECS}
    assert with_network <= set(asking)
    assert {name for name, found in asking.items() if found == {True}} == with_network
    assert {name for name, found in asking.items() if True in found} == with_network


@pytest.mark.slow
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


def test_a_sweep_too_large_for_a_command_line_is_described_and_gathered(tmp_path):
    """Linux allows 128 KiB an argument."""
    copy_project(tmp_path)
    sweep = {"sweep": {"training.lr": [k / 1e5 for k in range(1, 11)]}}
    arms = {"debias-True": {}, "debias-False": {}}
    swept = {"swissroll": {"arms": arms, "network": {"hidden": [32] * 2000}, **sweep}}
    content = {"only": ["swissroll"], "experiments": swept}
    (tmp_path / "sweep.yaml").write_text(json.dumps(content))
    words = ["--configfile", "sweep.yaml", "--config", "preset=smoke"]
    snakemake(tmp_path, "results/smoke/config.json", *words)
    described_there = tmp_path / "results/smoke/config.json"
    assert described_there.stat().st_size > 2**17
    config = read_config(described_there.parent)
    names = run_files(config, "train.csv")
    row = dict.fromkeys(SCHEMAS["train"], 0)
    for who, name in zip(runs(config), names, strict=True):
        path = described_there.parent / name
        path.parent.mkdir(parents=True)
        pd.DataFrame([row | {"arm": who.arm}]).to_csv(path, index=False)
    out = ["--of", str(described_there.parent), "--out", str(tmp_path / "train.csv")]
    done = CliRunner().invoke(main, ["aggregate", "train", *out])
    assert done.exit_code == 0, done.output
    assert len(pd.read_csv(tmp_path / "train.csv")) == len(names) == 20


def rows_of(path):
    return pd.read_csv(path)["experiment"].unique().tolist()


def test_what_no_result_depends_on_reruns_nothing(finished):
    words = ["device=cpu", "data_root=other", "slice_minutes=60", "threads=2", "slices=3", "gpus=2"]
    output = snakemake(finished[0], "-n", "--config", "preset=smoke", *words)
    assert "Nothing to be done" in output


@pytest.mark.slow
def test_a_results_folder_speaks_of_its_configuration_alone(finished_copy):
    """After `only=[cosine]` the claims, the report and the manifest know nothing of digits."""
    config = ["--config", "preset=smoke", "only=[cosine]"]
    snakemake(finished_copy, *config)
    results = finished_copy / "results" / "smoke"
    assert rows_of(results / "train.csv") == ["cosine"]
    claims = json.loads((results / "claims.json").read_text())["claims"]
    assert {row["experiment"] for row in claims} <= {"cosine"}
    manifest = json.loads((results / "manifest.json").read_text())
    assert not [name for name in manifest["results"] if "digits" in name]
    assert "samples-digits" not in (results / "report.html").read_text()
    listed = CliRunner().invoke(main, ["clean", str(results)])
    assert "samples-digits.png" in listed.output
    CliRunner().invoke(main, ["clean", str(results), "--delete"])
    assert not list(results.rglob("*digits*.png"))
    assert "Nothing to be done" in snakemake(finished_copy, *config)


def test_a_moved_results_folder_still_finds_its_snapshots(finished_copy):
    moved = finished_copy / "elsewhere"
    (finished_copy / "results" / "smoke").rename(moved)
    run = moved / "runs/digits/debias-True/seed-0"
    words = ["--run", run / "run.json", "--snapshots", run / "snapshots.csv"]
    words += ["--out", moved / "again.npz", "--count", 1, "--steps", 2]
    result = CliRunner().invoke(main, ["sample", *map(str, words)])
    assert result.exit_code == 0, result.output


OWN = """
preset: smoke
only: [own]
experiments:
  own:
    dataset: "npz:own.npz"
    network: {channels: 8, multipliers: [1, 2], blocks: 1, groups: 4, time_scale: 1000}
    training: {iterations: 6, batch_size: 8, lr: 0.001, log_every: 2, snapshot_every: 3}
    evaluation: {estimators: [published, efficient], pilot: 64}
    sampling: {steps: 4, count: 16}
"""


def own_images(folder, seed, train, test):
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 256, (n, 8, 8), dtype="uint8") for n in (train, test))
    np.savez(folder / "own.npz", train_x=x, test_x=y)


@pytest.mark.slow
def test_a_training_is_shared_by_processes(finished, tmp_path):
    """Two of them, by the key gpus: the losses of one, and one receipt for what was made."""
    copy_project(tmp_path)
    name = "runs/digits/debias-True/seed-0/train.csv"
    config = ["--config", "preset=smoke", "gpus=2", "device=cpu"]
    output = snakemake(tmp_path, f"results/smoke/{name}", *config)
    assert "gpu=2" not in output
    ours, theirs = (pd.read_csv(f / "results/smoke" / name) for f in (tmp_path, finished[0]))
    assert np.allclose(ours["loss"], theirs["loss"], rtol=1e-4)
    log = tmp_path / "results/smoke/logs/digits-debias-True-seed-0-train"
    outputs = json.loads(log.with_suffix(".json").read_text())["outputs"]
    assert f"results/smoke/{name}" in outputs
    assert log.with_suffix(".log").read_text()
    planned_for_gpus = snakemake(tmp_path, "-n", "--config", "preset=smoke", "gpus=2")
    assert "gpu=2" in planned_for_gpus


@pytest.mark.slow
def test_replaced_data_are_trained_on_anew_however_old_they_are(tmp_path):
    copy_project(tmp_path)
    (tmp_path / "own.yaml").write_text(OWN)
    own_images(tmp_path, 0, 40, 10)
    run = "results/smoke/runs/own/debias-True/seed-0"
    words = [f"{run}/evaluation.csv", "--configfile", "own.yaml"]
    snakemake(tmp_path, *words)
    assert "Nothing to be done" in snakemake(tmp_path, *words)
    before = (tmp_path / run / "train.csv").read_bytes()
    own_images(tmp_path, 1, 40, 10)
    os.utime(tmp_path / "own.npz", (1e9, 1e9))
    output = snakemake(tmp_path, *words)
    assert "Resuming" not in output
    assert (tmp_path / run / "train.csv").read_bytes() != before
    assert len(list((tmp_path / "results/smoke/state/own/debias-True/seed-0").iterdir())) == 1
    assert "cannot be read" in snakemake(
        tmp_path, "-n", "--config", "preset=smoke", "experiments={digits: {dataset: 'npz:no.npz'}}",
        code=1,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("train", "test"), [(1, 2), (40, 10)])
def test_small_sets_run_to_the_report_under_any_path(tmp_path, train, test):
    """A space, a quote and an umlaut in the project's path, a space in that of the results."""
    folder = copy_project(tmp_path / "it's für me")
    (folder / "own.yaml").write_text(OWN)
    own_images(folder, 0, train, test)
    output = snakemake(folder, "--configfile", "own.yaml", "--config", "results=my results")
    assert "the report is my results/smoke/report.html" in output


PAPER_CUT = """
preset: paper
only: [cifar10_small]
notebook: false
threads: 2
data: {cifar10: "npz:cifar10_small.npz"}
experiments:
  cifar10:
    arms: {debias-False: null}
    training: {iterations: 2, batch_size: 4, log_every: 1, snapshot_every: 2}
    evaluation: {images: 2, pilot: 64, passes: 2, batch_size: 8}
    likelihood: {images: 2, tolerance: 0.1, passes: 2, pilot: 64}
    sampling: {steps: 2, frames: 2, count: 4}
    variance: null
    forms: null
    quality: null
"""


@pytest.mark.long
def test_the_papers_cifar10_net_goes_through_the_pipeline(tmp_path):
    """Its 35.7 million parameters and its data path, two iterations, to the report."""
    copy_project(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 32, 32, 3), dtype="uint8")
    np.savez(tmp_path / "cifar10_small.npz", train_x=x, test_x=x[:10])
    (tmp_path / "cut.yaml").write_text(PAPER_CUT)
    output = snakemake(tmp_path, "--configfile", "cut.yaml", "--config", "preset=paper")
    assert "the report is results/paper/report.html" in output
    results = tmp_path / "results" / "paper"
    page = (results / "report.html").read_text()
    assert "Beside the paper: cifar10_small" in page
    run = json.loads((results / "runs/cifar10_small/debias-True/seed-0/run.json").read_text())
    full = load_config({"preset": "paper"}).experiments["cifar10"].arms["debias-True"]
    assert run["network"] == full.network.model_dump(mode="json")
    assert np.isfinite(pd.read_csv(results / "evaluation.csv")["bpd"]).all()
    assert np.isfinite(pd.read_csv(results / "likelihood.csv")["bpd_ode"]).all()
