"""vdiff as others use it: the wheel away from its sources, and the workflow as a module."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from support.pipeline import ROOT, copy_project, planned, snakemake
from support.stores import needs_namespaces


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory):
    """Of an environment that has the wheel and this environment's other packages.

    A .pth file of a folder that is only on the path is not read, so the sources stay away.
    """
    folder = tmp_path_factory.mktemp("installed")
    sources = copy_project(folder / "sources", own_code=True)
    for name in ("setup.py", "MANIFEST.in", "pyproject.toml", "README.md", "LICENSE", "notebooks"):
        (sources / name).symlink_to(ROOT / name)
    (sources / "results/reference").mkdir(parents=True, exist_ok=True)
    (sources / "results/reference/pretrained").symlink_to(ROOT / "results/reference/pretrained")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, sources]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("vdiff-*.whl")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv/bin/python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    (folder / "venv" / site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


def output_of(*words, cwd):
    # As a stranger's shell has it: nothing of this environment on the path.
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=cwd, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(["--config", "only=[cosine]"], marks=pytest.mark.slow),
        pytest.param([], marks=pytest.mark.long),
    ],
)
def test_the_wheel_runs_the_smoke_preset_from_another_folder(bin_folder, config, tmp_path):
    at = output_of(
        bin_folder / "python", "-c", "import vdiff; print(vdiff.__file__)", cwd=tmp_path
    )[0]
    assert Path(at.strip()).is_relative_to(bin_folder.parent)
    assert "smoke" in output_of(bin_folder / "vdiff", "presets", cwd=tmp_path)[0]
    code = "import vdiff; print(len(vdiff.load('digits-demo').sample(2, steps=2)))"
    assert output_of(bin_folder / "python", "-c", code, cwd=tmp_path)[0] == "2\n"
    words = ["run", "--preset", "smoke", "--cores", "2", *config]
    output_of(bin_folder / "vdiff", *words, cwd=tmp_path)
    assert (tmp_path / "results/smoke/report.html").stat().st_size > 100_000
    lines = """
import vdiff
model = vdiff.load("results/smoke/runs/cosine/debias-True/seed-0")
print(model.log_prob(model.test_examples(8)).value.shape, model.sample(4).shape)
"""
    said = output_of(bin_folder / "python", "-c", lines, cwd=tmp_path)[0]
    assert said.strip() == "(8,) torch.Size([4, 1, 8, 8])"


@pytest.mark.slow
def test_run_takes_keys_and_words_of_snakemake(bin_folder, tmp_path):
    words = ["run", "--preset", "smoke", "--config", "only=[cosine]", "--dry-run"]
    said = output_of(bin_folder / "vdiff", *words, cwd=tmp_path)
    assert planned("".join(said))["train"] == "1"


def test_another_workflow_uses_this_one_twice_as_a_module(tmp_path):
    """Two configurations in one Snakefile, each with its own results and prefix."""
    (tmp_path / "Snakefile").write_text(
        "".join(
            f"""
module {name}:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config["{name}"]

use rule * from {name} as {name}_*
"""
            for name in ("one", "two")
        )
        + """
rule mine:
    default_target: True
    input: "results/smoke/report.html", "other/smoke/report.html"
    output: "mine.txt"
    shell: "echo {input} >{output}"
"""
    )
    (tmp_path / "config.yaml").write_text(
        "one: {preset: smoke, only: [digits]}\n"
        "two: {preset: smoke, only: [cosine], results: other}\n"
    )
    words = ["--configfile", "config.yaml", "-n", "--config", "unused=1"]
    jobs = planned(snakemake(tmp_path, *words))
    assert (jobs["one_train"], jobs["two_train"], jobs["mine"]) == ("4", "1", "1")


@pytest.mark.slow
def test_the_image_serves_a_user_whom_no_file_knows(tmp_path):
    """The Dockerfile's copies and last step into a folder; then a dry run, everything read-only,
    without a home. The image that it begins with, and the lock's packages, this does not try."""
    needs_namespaces()
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    sources, site = tmp_path / "opt/vdiff", tmp_path / "site"
    sources.mkdir(parents=True)
    for names in [words.split() for step, words in steps if step == "COPY"]:
        for name in names[:-1]:
            to = sources / names[-1] / (name if names[-1] == "./" else "")
            to.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, to)
    installed = [words for step, words in steps if step == "RUN"][-1].split("&&")[0].split()
    assert installed[:2] == ["pip", "install"]
    command = [sys.executable, "-m", "pip", *installed[1:], "-q", "--target", site]
    subprocess.run(command, cwd=sources, check=True)
    for folder in sources.iterdir():  # the installed package carries all it needs
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    image = dict(words.split("=") for step, words in steps if step == "ENV")
    job = tmp_path / "job.sh"
    job.write_text(
        f"export PYTHONPATH={site} {' '.join('='.join(pair) for pair in image.items())}\n"
        "set -e; python -m vdiff run --preset smoke --cores 2 -n --quiet rules\n"
        "python -c \"import vdiff; assert 'site/vdiff' in vdiff.__file__; "
        "print(len(vdiff.load('digits-demo').sample(2, steps=2)))\"\n"
    )
    words = ["bash", ROOT / "tests/cluster/elsewhere.sh", "inside", tmp_path / "work", job, ""]
    (tmp_path / "work/tmp").mkdir(parents=True)
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert planned(done.stdout + done.stderr)["train"] == "6"
    assert done.stdout.splitlines()[-1] == "2"
