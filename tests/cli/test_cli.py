"""The command line: helpful, and one sentence for every fault."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from support.commands import ROOT

from vdiff.cli import main
from vdiff.cli.group import SECTIONS, Output, first_sentence
from vdiff.files.atomic import writing

USING = ROOT / "docs/using.md"
RUN = {
    "experiment": "digits", "arm": "debias-True", "dataset": "digits", "debias": True, "seed": 0,
    "network": {"channels": 4, "multipliers": [1], "blocks": 1, "groups": 2},
    "training": {"iterations": 2, "batch_size": 4},
}  # fmt: skip


def vdiff(*words, code=0):
    result = CliRunner().invoke(main, [str(w) for w in words])
    assert result.exit_code == code, result.output
    return result.output


def refused(*words):
    output = vdiff(*words, code=1).strip()
    assert "Traceback" not in output
    assert output.splitlines()[-1].endswith(".")
    return output.splitlines()[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    vdiff("configure", json.dumps(RUN), "--out", folder / "run.json")
    vdiff("train", "--run", folder / "run.json", "--out", folder)
    return folder


def test_every_command_explains_itself():
    """Each in a whole sentence, once, in its section; a name in a section is a command."""
    text = vdiff("--help")
    words = " ".join(text.split())
    assert {name for names in SECTIONS.values() for name in names} <= set(main.commands)
    for name, command in main.commands.items():
        assert len(re.findall(rf"^  {name} ", text, re.M)) == 1
        assert first_sentence(command.help) in words
        assert first_sentence(command.help).endswith(".")
        for option in command.params:
            assert option.param_type_name == "argument" or option.help, (name, option.name)


def test_a_shell_completes_commands_and_options():
    """By the line that docs/using.md gives for bash; nothing begins like a name that is none."""
    (line,) = re.findall(r'`(eval "\$\(_VDIFF_COMPLETE=bash_source vdiff\)")`', USING.read_text())

    def completed(*words):
        asked = f"COMP_WORDS=(vdiff {' '.join(words)}); COMP_CWORD={len(words)}"
        said = f'{asked}; _vdiff_completion vdiff; printf "%s\\n" "${{COMPREPLY[@]}}"'
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", f"{line}\n{said}"], env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split()

    assert completed("tra") == ["train", "trajectory"]
    assert completed("run", "--pre") == ["--preset"]
    assert completed("nothing") == []


@pytest.mark.slow
def test_training_says_that_it_loads_torch(tmp_path):
    """Where it does; a fault is found before."""
    program = [sys.executable, "-P", str(ROOT / "vdiff/__main__.py"), "train"]
    words = ["--preset", "smoke", "--dataset", "swissroll", "--num-iterations", "2"]
    done = subprocess.run([*program, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Loading torch")
    assert done.stderr.index("Loading") < done.stderr.index("Trained")
    assert "Loading" not in refused("train", *words, "--until", "1")


def test_steps_work_alone(trained):
    common = ["--run", trained]
    vdiff("evaluate", *common, "--out", trained / "e.csv", "--images", 8, "--last")
    vdiff("sample", *common, "--out", trained / "s.npz", "--count", 4, "--steps", 3)
    vdiff("plot", "samples", trained / "s.npz", "--out", trained / "s.png")
    with np.load(trained / "s.npz") as arrays:
        assert arrays["samples"].shape == (4, 1, 8, 8)
        assert arrays["samples"].max() <= 16
    named = ["--run", trained / "run.json", "--snapshots", trained / "snapshots.csv"]
    vdiff("sample", *named, "--out", trained / "t.npz", "--count", 4, "--steps", 3)
    assert (trained / "t.npz").read_bytes() == (trained / "s.npz").read_bytes()


def test_a_folder_without_a_run_is_named(tmp_path):
    said = refused("sample", "--run", tmp_path, "--out", tmp_path / "s.npz")
    assert str(tmp_path / "run.json") in said


def test_the_published_flags_are_understood(tmp_path):
    vdiff(
        "train", "--preset", "smoke", "--dataset=digits", f"--saveroot={tmp_path}", "--expname=x",
        "--num_iterations=2", "--batch_size=4", "--lr=0.001", "--real=True", "--debias=True",
        "--checkpoint-every=1",
    )  # fmt: skip
    run = json.loads((tmp_path / "x" / "run.json").read_text())
    assert (run["training"]["iterations"], run["debias"]) == (2, True)
    assert (tmp_path / "x" / "train.csv").exists()


def test_faults_are_one_sentence(trained, tmp_path):
    common = ["--run", trained / "run.json", "--snapshots", trained / "snapshots.csv"]
    assert "not JSON" in refused("configure", "{", "--out", tmp_path / "r.json")
    assert "lmbd" in refused("sample", *common, "--out", tmp_path / "x.npz", "--lmbd", 2)
    assert "steps" in refused("sample", *common, "--out", tmp_path / "x.npz", "--steps", 0)
    assert "plane" in refused("trajectory", *common, "--out", tmp_path / "x.npz", "--lmbd", 0)
    assert "dataset" in refused(
        "configure", json.dumps({**RUN, "dataset": "x"}), "--out", tmp_path / "r"
    )
    other = {**RUN, "network": {**RUN["network"], "channels": 8}}
    (tmp_path / "other.json").write_text(json.dumps(other))
    wrong = ["--run", tmp_path / "other.json", "--snapshots", trained / "snapshots.csv"]
    assert "does not fit" in refused("sample", *wrong, "--out", tmp_path / "x.npz")
    table = (trained / "snapshots.csv").read_text().replace("1x8x8", "1x28x28")
    (tmp_path / "other.csv").write_text(table)
    wrong = ["--run", trained / "run.json", "--snapshots", tmp_path / "other.csv"]
    assert "of shape 1x28x28, but digits has shape 1x8x8" in refused(
        "sample", *wrong, "--out", tmp_path / "x.npz"
    )
    assert not list(tmp_path.glob("*.npz"))


def test_presets_are_listed_and_shown_in_full():
    assert "demo" in vdiff("presets").split()
    assert json.loads(vdiff("presets", "paper"))["experiments"]["cifar10"]["training"]["lr"] == 1e-4


def outputs():
    """(command, its words, an option that says what it writes, whether that is a folder)."""
    groups = [((), main), (("chunks",), main.commands["chunks"])]
    return [
        pytest.param((*words, name), command, option, id=f"{name}-{option.name}")
        for words, group in groups
        for name, command in group.commands.items()
        for option in command.params
        if isinstance(option.type, Output)
    ]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("words", "command", "option"), outputs())
def test_outputs_that_cannot_be_written_are_found_before_anything_runs(
    tmp_path, monkeypatch, words, command, option, missing
):
    """A file where a folder must be, there or above; and what can be written gets to the work."""
    monkeypatch.setattr(command, "callback", lambda **given: click.echo("It ran."))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    required = [p for p in command.params if p.required and p is not option]
    others = []
    for p in required:
        choices = getattr(p.type, "choices", ["1"])
        value = str(tmp_path / "out") if isinstance(p.type, Output) else choices[0]
        others += [value] if isinstance(p, click.Argument) else [p.opts[0], value]
    wrong = "file" if option.type.folder else "folder"

    def ask(path, code):
        own = [] if isinstance(option, click.Argument) else [option.opts[0]]
        return vdiff(*words, *others, *own, tmp_path / path, code=code)

    said = ask("file/below/x" if missing else wrong, 1)
    assert str(tmp_path) in said
    assert said.strip().endswith(".")
    assert "It ran" not in said
    assert "It ran" in ask("new/below/x", 0)
    assert "It ran" in ask("folder" if option.type.folder else "file", 0)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


def test_no_output_is_missed():
    """Every option called out takes what can be written; that of scores is seen to by itself."""
    plain = [
        command
        for group in (main, main.commands["chunks"])
        for command in group.commands.values()
        for option in command.params
        if option.name in ("out", "into", "kept", "state") and not isinstance(option.type, Output)
    ]
    assert plain == [main.commands["score"]]


def test_an_output_by_default_is_seen_to_as_well(tmp_path):
    (tmp_path / "file").write_text("")
    said = refused("train", "--preset", "smoke", "--dataset=digits", f"--saveroot={tmp_path}/file")
    assert "cannot be written" in said


def test_a_file_that_another_command_writes_is_refused(tmp_path):
    """Case 21: one of two commands on one output goes on, its table and provenance of a piece.
    What was refused, or is asked for wrongly, holds nothing afterwards."""
    out = tmp_path / "below" / "run.json"
    words = ["configure", json.dumps(RUN), "--out", out]
    with writing(out):
        said = refused(*words)
        assert f"Another process writes {out} now" in said
        assert not out.exists()
        vdiff("configure", json.dumps(RUN), "--out", out.with_name("other.json"))
    vdiff(*words, "--no-such-option", code=2)
    before = vdiff(*words)
    assert before == vdiff(*words) == ""
    assert sorted(p.name for p in out.parent.iterdir()) == ["other.json", "run.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("word", ["--version", "--help"])
def test_what_cannot_be_printed_is_one_sentence(word):
    """Case 22: with stdout closed there is nobody to tell; a full disk is told of."""
    for to, code, said in ((">&-", 0, ""), ("> /dev/full", 1, "No space left on device.\n")):
        program = f"exec {sys.executable} -P {ROOT}/vdiff/__main__.py {word} {to}"
        done = subprocess.run(["sh", "-c", program], capture_output=True, text=True)
        assert done.returncode == code
        assert done.stderr.endswith(said) and done.stderr.count("\n") == bool(said)
