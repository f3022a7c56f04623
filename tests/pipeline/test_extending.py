"""docs/extending.md: every example is applied to a copy of the project and runs."""

import re
import shlex
import subprocess

import pytest
from support.commands import forked
from support.pipeline import ROOT, copy_code, environment

PAGE = (ROOT / "docs" / "extending.md").read_text()
SECTIONS = {
    title: text
    for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    if "```diff" in text
}


def touched(patch):
    return re.findall(r"^\+\+\+ b/(.+)$", patch, re.M)


def test_the_table_counts_the_files_of_each_patch():
    rows = re.findall(r"^\| \[(.+?)\]\(#.+?\) \| (\d) \|", PAGE, re.M)
    assert {name.lower(): int(n) for name, n in rows} == {
        title.lower(): len(touched(re.search(r"```diff\n(.*?)```", text, re.S)[1]))
        for title, text in SECTIONS.items()
    }


QUICK = "A claim"  # the others take four seconds each


@pytest.mark.parametrize(
    "title", [pytest.param(t, marks=() if t == QUICK else pytest.mark.slow) for t in SECTIONS]
)
def test_an_addition_works_as_described(finished_copy, title):
    text = SECTIONS[title]
    patch = re.search(r"```diff\n(.*?)```", text, re.S)[1]
    copy_code(finished_copy)
    apply = ["git", "apply", "--unidiff-zero", "-"]
    subprocess.run(apply, cwd=finished_copy, input=patch, text=True, check=True)
    commands = re.search(r"```bash\n(.*?)```", text, re.S)[1].strip().splitlines()
    workflow = forked(ROOT / "tests/support/snakemaker.py", finished_copy)
    for command in commands:
        program = shlex.join(forked(finished_copy / "vdiff" / "__main__.py"))
        command = re.sub("^vdiff ", f"{program} ", command)
        command = re.sub("^snakemake ", f"env -u PYTHONPATH {shlex.join(workflow)} ", command)
        done = subprocess.run(
            command, shell=True, cwd=finished_copy, env=environment(finished_copy),
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"
        assert "Nothing to be done" not in done.stdout + done.stderr
    if title == "A claim":
        assert "pixels are clipped" in (finished_copy / "claims.csv").read_text()
    if title == "An ELBO estimator":
        assert "traced" in (finished_copy / "traced.csv").read_text()
