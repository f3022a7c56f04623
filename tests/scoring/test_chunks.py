"""Scores in chunks, by the commands and by `vdiff run --preset score`: the bytes of one process."""

import contextlib
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
import pytest
from click.testing import CliRunner
from support.pipeline import ROOT, planned, snakemake, started
from support.stores import Away, s3_server

import vdiff
from vdiff.cli import main
from vdiff.cli.chunks import keys_of
from vdiff.errors import VdiffError
from vdiff.scoring import rows, score
from vdiff.scoring.fits import packed, unpack
from vdiff.scoring.out import alone

MODEL = """
import numpy as np
import vdiff

def make(variance=None):
    variance = float(np.load("variance.npy")) if variance is None else variance

    def net(y, sigma):
        return variance / (variance + sigma[:, None, None, None] ** 2) * y

    return vdiff.wrap(net, schedule="ve", predicts="x0", data=(1, 2, 2), levels=16)

def wider():
    return make(0.4)

def classes():
    def net(y, sigma, c):
        v, mean = sigma[:, None, None, None] ** 2, c[:, None, None, None] - 0.5
        return (0.3 * y + v * mean) / (0.3 + v)

    return vdiff.wrap(
        net, schedule="ve", predicts="x0", data=(1, 2, 2), levels=16, check=False
    )
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """60 images and 20 others; one of them is there six times, in all chunks."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 16, (80, 1, 2, 2), dtype=np.uint8)
    x[[4, 20, 33, 59, 70]] = x[3]
    (tmp_path / "m.py").write_text(MODEL)
    np.save(tmp_path / "variance.npy", 0.3)
    np.savez(tmp_path / "a.npz", x=x[:60], y=np.arange(60) % 2)
    np.save(tmp_path / "b.npy", x[60:].astype(np.int64))
    np.savez(tmp_path / "t.npz", x=rng.integers(0, 16, (90, 1, 2, 2)), y=np.arange(90) % 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exact():
    return vdiff.wrap(
        lambda y, s: 0.3 / (0.3 + s[:, None, None, None] ** 2) * y,
        schedule="ve", predicts="x0", data=(1, 2, 2), levels=16,
    )  # fmt: skip


def ask(*words, code=0):
    found = CliRunner().invoke(main, list(map(str, words)))
    assert found.exit_code == code, (found.output, found.exception)
    return found.output


ONE = ("--model", "m.py:make", "--data", "a.npz")


def begun(words, size=16):
    """The chunks and the fit."""
    ask("chunks", "cut", *words, "--chunk-size", size, "--into", "c")
    ask("chunks", "fit", *words, "--shared", "c/shared.npz", "--out", "c/fit.npz")
    return len(list(Path("c/examples").iterdir()))


def scored(words, k, code=0):
    files = ("--examples", f"c/examples/{k}.npz", "--fitted", "c/fit.npz")
    return ask("chunks", "score", *words, *files, "--out", f"c/scores/{k}.npz", code=code)


def gathered(words, code=0):
    files = ("--scores", "c/scores", "--fitted", "c/fit.npz", "--out", "s.csv")
    return ask("chunks", "gather", *words, *files, code=code)


@pytest.mark.parametrize(
    ("words", "chunks"),
    [
        (ONE, 4),
        ((*ONE, "--against", "b.npy", "--model", "m.py:wider", "--train", "t.npz"), 6),
        (("--model", "m.py:classes", *ONE[2:], "--labels", "--train", "t.npz"), 4),
        (("--model", "m.py:classes", *ONE[2:], "--labels"), 4),
        (("--model", "m.py:classes", *ONE[2:], "--condition", "1"), 4),
        ((*ONE, "--method", "ode", "--draws", "9"), 2),
    ],
    ids=["plain", "several", "labels", "not fitted", "one class", "ode"],
)
def test_chunks_give_the_bytes_of_one_process(folder, words, chunks):
    """In any order; what is said of the scores, too, is the same."""
    said = ask("score", *words, "--out", "one.csv")
    assert begun(words, 32 if "ode" in words else 16) == chunks
    for k in reversed(range(1, chunks + 1)):
        scored(words, k)
    again = gathered(words)
    assert (folder / "s.csv").read_bytes() == (folder / "one.csv").read_bytes()
    assert again.splitlines()[-1] == said.splitlines()[-1]


def test_a_repeated_image_has_other_noise_wherever_it_is(folder):
    """In the table as in one call of `log_prob`: counted over all examples, not over some."""
    x = np.load("a.npz")["x"]
    model = exact()
    found = score(model, x)["log_prob"].to_numpy()
    assert np.allclose(found, model.log_prob(x).value, rtol=1e-5)
    repeated = found[[3, 4, 20, 33, 59]]
    assert len(np.unique(repeated.round(4))) == 5
    assert found[4] == pytest.approx(model.log_prob(x[3:5]).value[1], rel=1e-5)
    assert found[59] != pytest.approx(model.log_prob(x[59:]).value[0], rel=1e-5)


def test_a_fit_is_the_same_from_its_file(folder):
    """To the last bit of a score; a fit that does nothing gives others."""
    x = np.load("a.npz")["x"][:16]
    made, other = exact(), exact()
    made.fit(seed=1)
    np.savez("fit.npz", **packed(made))
    plain = other.log_prob(x).value
    unpack(other, dict(np.load("fit.npz")))
    assert np.array_equal(other.log_prob(x).value, made.log_prob(x).value)
    assert not np.array_equal(plain, made.log_prob(x).value)
    for text in ('{"controls": {"named": ["os", "system"]}}', "{", '{"controls": {"array": 9}}'):
        with pytest.raises(VdiffError, match="is not of this vdiff"):
            unpack(other, {"text": np.array(text)})


def test_a_network_that_is_replaced_between_chunks_is_refused(folder):
    """In a sentence, and nothing is written; with the first one back the rest follows."""
    begun(ONE)
    scored(ONE, 1)
    np.save("variance.npy", 0.31)
    said = scored(ONE, 2, code=1).strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("The network of m.py:make is not the one that c/fit.npz was made by")
    assert sorted(p.name for p in Path("c/scores").iterdir()) == ["1.npz"]
    np.save("variance.npy", 0.3)
    for k in (2, 3, 4):
        scored(ONE, k)
    gathered(ONE)
    ask("score", *ONE, "--out", "one.csv")
    assert (folder / "s.csv").read_bytes() == (folder / "one.csv").read_bytes()


def test_what_was_made_for_something_else_is_refused(folder):
    """The fit of other options, the chunk of other data, scores by another fit, and damage."""
    begun(ONE)
    for other in (("--draws", "31"), ("--seed", "1"), ("--model", "m.py:wider"),
                  ("--method", "ode")):  # fmt: skip
        assert "c/fit.npz was made for other models or options" in scored((*ONE, *other), 1, code=1)
    for k in range(1, 5):
        scored(ONE, k)
    Path("c/scores/2.npz").rename("c/scores/kept.npz")
    assert "c/scores/2.npz cannot be read" in gathered(ONE, code=1)
    Path("c/scores/2.npz").write_bytes(Path("c/scores/3.npz").read_bytes())
    assert "c/scores/2.npz was not made by c/fit.npz" in gathered(ONE, code=1)
    Path("c/scores/kept.npz").replace("c/scores/2.npz")
    x = np.load("a.npz")["x"]
    x[-1] += 1
    np.savez("a.npz", x=x % 16)
    ask("chunks", "cut", *ONE, "--chunk-size", 16, "--into", "c")
    assert "c/examples/4.npz is no chunk of the data" in scored(ONE, 4, code=1)
    scored(ONE, 3)  # whose examples are what they were
    begun(("--seed", "1", *ONE))
    assert "c/scores/1.npz was not made by c/fit.npz" in gathered(ONE, code=1)
    assert not (folder / "s.csv").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x + 1, "a.npz: x has the grey level 16; the levels are 0 to 15"),
        (lambda x: x / 2, "a.npz: x is torch.float64 of shape (2, 1, 2, 2); it must be grey"),
        (lambda x: x[..., :1], "it must be grey levels, integers such as uint8, of shape (N, 1, 2"),
    ],
)
def test_examples_that_do_not_fit_are_refused_before_any_is_scored(folder, change, said):
    """Wherever they are: here it is the last chunk that has the level that there is none of."""
    x = np.load("a.npz")["x"]
    x[:50] = np.minimum(x[:50], 14)
    x[59] = 15
    np.savez("a.npz", x=change(x))
    ask("chunks", "cut", *ONE, "--chunk-size", 16, "--into", "c")
    words = ("--shared", "c/shared.npz", "--out", "c/fit.npz")
    assert said in ask("chunks", "fit", *ONE, *words, code=1)
    assert not Path("c/fit.npz").exists()


GIVEN = {"model": "m.py:make", "data": ["a.npz"], "out": "s.csv", "chunk_size": 16}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"drawz": 3}, "the key drawz is unknown; did you mean draws?"),
        ({"draws": "many"}, "Invalid value for '--draws': 'many' is not a valid integer"),
        ({"model": None}, "Missing option '--model'"),
        ({"out": None}, "Missing option '--out'"),
        ({"out": "s.txt"}, "out is s.txt; it must end in .csv"),
        ({"out": "{k}.csv"}, "out is {k}.csv; it must end in .csv, with letters"),
        ({"out": "no/s.csv"}, "The folder no of out is not there"),
        ({"out": "data.csv"}, "out is data.csv, which a.npz is"),
        ({"labels": "yes"}, "labels is 'yes'; it must be true or false"),
        ({"range": [0]}, "range is [0]; it must be a list of 2 values"),
        ({"seed": [1, 2]}, "seed is [1, 2]; it must be one value"),
        ({"data": {"a": 1}}, "data is {'a': 1}; it must be a value or a list of values"),
        ({"data": "no.npz"}, "no.npz cannot be read"),
        ({"model": "no.py:make"}, "no.py is not there"),
        ({"files": "no.pt"}, "no.pt is not there"),
        ({"chunk_size": 10}, "chunk_size is 10; it must be a multiple of 16"),
        ({"chunk_size": 16, "draws": 8}, "chunk_size is 16; it must be a multiple of 64"),
        ({"draws": 1}, "draws is 1; by elbo it must be at least 2"),
    ],
)
def test_wrong_keys_are_one_sentence(folder, change, said):
    Path("data.csv").hardlink_to("a.npz")
    with pytest.raises(VdiffError, match=re.escape(said)):
        keys_of({**GIVEN, **change}).planned()


def test_the_keys_are_the_options_of_the_jobs(folder):
    more = {"labels": True, "range": [-1, 1], "draws": 32, "device": "cpu", "batch_size": 7}
    more["part_iterations"] = 25000  # as the profiles of clouds say, for trainings
    keys = keys_of({**GIVEN, **more, "against": "b.npy", "share": False, "files": "variance.npy"})
    assert keys.planned() == 4 + 2
    assert keys.words == [
        "--model=m.py:make", "--data=a.npz", "--labels", "--range", "-1", "1", "--draws=32",
        "--against=b.npy",
    ]  # fmt: skip
    assert keys.machine == ["--device=cpu", "--batch-size=7"]
    assert keys.folder == "s.chunks"
    assert keys.models == ["m.py", "variance.npy"]
    assert keys.data == ["a.npz", "b.npy"]


def test_a_chunk_that_is_killed_goes_on_where_it_was(folder, monkeypatch):
    """After each look at the network; another process that holds the chunk is waited for."""
    begun(ONE, 32)
    ask("score", *ONE, "--out", "one.csv")
    scored(ONE, 2)
    asked, log_prob = [], vdiff.Model.log_prob

    def killed(self, x, *given, **keys):
        asked.append(len(x))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return log_prob(self, x, *given, **keys)

    monkeypatch.setattr(vdiff.Model, "log_prob", killed)
    monkeypatch.setattr(rows, "EVERY", 0.0)
    monkeypatch.setattr(rows, "LOOKS", 1e9)
    scored(ONE, 1, code=1)
    assert not Path("c/scores/1.npz").exists()
    with alone(Path("c/scores/1.npz")):
        waiting = threading.Thread(target=lambda: scored(ONE, 1))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
    waiting.join()
    assert asked == [16, 16, 16]
    scored(ONE, 1)  # by now another process has: nothing is scored twice
    assert asked == [16, 16, 16]
    whole = Path("c/scores/1.npz").read_bytes()
    Path("c/scores/1.npz").write_bytes(whole[:100])  # damaged, it is scored anew
    scored(ONE, 1)
    assert Path("c/scores/1.npz").read_bytes() == whole
    gathered(ONE)
    assert (folder / "s.csv").read_bytes() == (folder / "one.csv").read_bytes()


def test_run_takes_score_for_a_preset(monkeypatch):
    """It is a workflow of its own, with Snakemake's words as they are."""
    ran = []
    monkeypatch.setattr(os, "execve", lambda program, command, env: ran.append(command))
    ask("run", "--preset", "score", "--configfile", ROOT / "environment.yml", "--cores", "2")
    assert ran[0][4:] == [
        "--snakefile", str(ROOT / "workflow/score.smk"),
        "--configfile", str(ROOT / "environment.yml"), "--cores", "2",
    ]  # fmt: skip
    assert Path(ran[0][5]).is_file()


def those_in(folder):
    """The other processes at work in a folder."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            inside = entry.name.isdigit() and (entry / "cwd").resolve() == folder.resolve()
            if inside and int(entry.name) != os.getpid():
                yield int(entry.name)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_the_run_of_the_page_killed_in_the_middle_ends_with_the_bytes_of_one_process(folder):
    """SIGKILL to Snakemake and its jobs at once. Its blocks as they stand, which a test of the page
    runs in one process too; another Snakemake goes on, and does nothing twice."""
    page = (ROOT / "docs/scoring.md").read_text()
    model, data, options = re.findall(r"```(?:python|yaml)\n(.*?)```", page, re.DOTALL)[:3]
    (command,) = re.findall(r"^vdiff run --preset score (.*)$", page, re.MULTILINE)[:1]
    Path("model.py").write_text(model)
    exec(data, {})
    Path("score.yaml").write_text(options)
    ask("score", "--config", "score.yaml", "--out", "one.csv")
    # As `vdiff run --preset score` has it.
    score = ("-s", ROOT / "workflow/score.smk", *command.split(), "--nolock")
    process = started(folder, *score, stderr=subprocess.STDOUT)
    end = time.monotonic() + 300
    while not list(folder.glob("scores.chunks/scores/*.npz")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)
    for pid in those_in(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "scores.csv").exists()
    process = started(folder, *score, "--rerun-incomplete", stderr=subprocess.STDOUT)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert (folder / "scores.csv").read_bytes() == (folder / "one.csv").read_bytes()
    assert "rule score_chunk" in said
    assert "rule score_cut" not in said
    assert "rule score_fit" not in said
    assert not list(folder.glob("scores.chunks/examples/*"))


@pytest.mark.slow
def test_a_workflow_of_one_s_own_has_it_as_a_module(folder):
    """With the keys that it gives, whatever its own are; the GPUs that jobs ask for are said."""
    (folder / "Snakefile").write_text(
        f"""
module scoring:
    snakefile: "{ROOT}/workflow/score.smk"
    config: config["scoring"]

use rule * from scoring as scoring_*

rule mine:
    default_target: True
    input: "s.csv"
    output: "mine.txt"
    shell: "cp {{input}} {{output}}"
"""
    )
    keys = "{model: 'm.py:make', data: a.npz, out: s.csv, chunk_size: 16}"
    said = snakemake(folder, "-n", "--config", f"scoring={keys}", "other=1")
    assert planned(said) == {
        "mine": "1", "scoring_score_cut": "1", "scoring_score_fit": "1",
        "scoring_score_chunk": "4", "scoring_score_gather": "1",
    }  # fmt: skip
    assert said.count(" gpu=1,") == 5


@pytest.mark.slow
def test_chunks_elsewhere_share_nothing_but_an_s3_store(folder):
    """Each job has its own chunk, the fit and the models' archive, and no other file."""
    pytest.importorskip("moto", reason="needs moto, of the extra `test`")
    ask("score", *ONE, "--out", "one.csv")
    with s3_server() as s3:
        away = Away(folder / "away", s3.words())
        for name in ("m.py", "variance.npy", "a.npz"):
            shutil.copy(name, away.main)
        keys = ["data=a.npz", "files=variance.npy", "out=s.csv", "chunk_size=32", "device=cpu"]
        away.run("-s", "workflow/score.smk", "--", *keys, preset="model=m.py:make")
        files = s3.files()
        assert files["s.csv"] == (folder / "one.csv").read_bytes()
        assert [s3.moved("GET", f"s.chunks/examples/{k}.npz") for k in (1, 2)] == [1, 1]
    assert not [name for name in files if "examples" in name]
    assert not (away.main / "s.csv").exists()
