"""`vdiff score`: the likelihood of files of examples under a model of one's own."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from support.pipeline import ROOT

import vdiff
from vdiff.cli import main
from vdiff.errors import VdiffError
from vdiff.scoring import differences, rows, score
from vdiff.scoring.out import alone

MODEL = '''
import os
import time
from pathlib import Path

import numpy as np
import torch
import vdiff
from beside import VARIANCE

def make(variance=VARIANCE):
    """Data N(0, variance) on each of two axes."""
    def net(y, sigma):
        time.sleep(float(os.environ.get("SLOW", 0)))
        return variance / (variance + sigma[:, None] ** 2) * y
    return vdiff.wrap(net, schedule="ve", predicts="x0", data=(2,))

def on(device):
    if device != "cpu":
        raise ValueError(device)
    return make()

def stored():
    return make(float(np.load("weights.npy")))

def read_again():
    """A network that looks at its file whenever it is asked."""
    def net(y, sigma):
        variance = float(np.load("weights.npy"))
        return variance / (variance + sigma[:, None] ** 2) * y
    return vdiff.wrap(net, schedule="ve", predicts="x0", data=(2,))

def classes():
    """N(2 c, 0.1) on each axis, given c."""
    def net(y, sigma, c):
        v = sigma[:, None] ** 2
        return (0.1 * y + v * 2 * c[:, None]) / (0.1 + v)
    return vdiff.wrap(net, schedule="ve", predicts="x0", data=(2,))

def colour():
    return vdiff.wrap(lambda y, s: -y, schedule="vp", predicts="score", data=(3, 4, 4))

def grey():
    return vdiff.wrap(lambda y, s: -y, schedule="vp", predicts="score", data=(1, 4, 4))

def broken():
    return vdiff.wrap(lambda y, s: y @ y, schedule="vp", predicts="score", data=(2,))

def none():
    return 3

def fails():
    return 1 / 0
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    (tmp_path / "m.py").write_text(MODEL)
    (tmp_path / "beside.py").write_text("VARIANCE = 0.3\n")
    np.save(tmp_path / "weights.npy", 0.3)
    np.savez(tmp_path / "a.npz", x=0.3**0.5 * rng.standard_normal((150, 2)).astype(np.float32))
    np.savez(tmp_path / "b.npz", x=0.6 * rng.standard_normal((140, 2)).astype(np.float32))
    y = rng.integers(0, 2, 100)
    x = (2 * y[:, None] + 0.1**0.5 * rng.standard_normal((100, 2))).astype(np.float32)
    np.savez(tmp_path / "c.npz", x=x, y=y)
    np.savez(tmp_path / "few.npz", x=x, y=y[:9])
    np.savez(tmp_path / "words.npz", x=np.array(["a"]))
    np.savez(tmp_path / "wide.npz", x=np.zeros((4, 3), np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(*words, code=0):
    found = CliRunner().invoke(main, ["score", *words])
    assert found.exit_code == code, found.output
    return found.output


def made(folder):
    """What a command has made, hidden or not."""
    return sorted(p.name for p in folder.iterdir() if "s.csv" in p.name)


WORDS = ("--model", "m.py:make", "--data", "a.npz", "--draws", "8", "--out", "s.csv")


def test_a_function_is_told_the_device(folder):
    """What the numbers are is not changed by it."""
    ask(*WORDS)
    plain = (folder / "s.csv").read_text()
    ask("--model", "m.py:on", *WORDS[2:], "--device", "cpu")
    assert (folder / "s.csv").read_text() == plain.replace("m.py:make", "m.py:on")
    assert "cuda:7" in ask(*WORDS, "--device", "cuda:7", code=1)


@pytest.mark.parametrize("method", ["elbo", "ode"])
def test_every_example_has_its_score(folder, method):
    draws = "8" if method == "elbo" else "1"
    said = ask(*WORDS, "--against", "b.npz", "--method", method, "--draws", draws)
    found = pd.read_csv("s.csv")
    assert list(found["file"]) == ["a.npz"] * 150 + ["b.npz"] * 140
    assert list(found["example"]) == [*range(150), *range(140)]
    x = np.concatenate([np.load(name)["x"] for name in ("a.npz", "b.npz")])
    truth = torch.distributions.Normal(0, 0.3**0.5).log_prob(torch.tensor(x)).sum(1).numpy()
    off = found["log_prob"] - truth
    error = np.square(found["std_err"]).mean() ** 0.5 / len(found) ** 0.5
    assert abs(off.mean()) < 4 * error + 0.003
    assert np.allclose(found["bpd"], -found["log_prob"] / 2 / np.log(2))
    assert re.search(r"likelihood .* AUROC .* ± .*, AUPR .* ± .*, FPR at 95% TPR .* ± ", said)
    assert made(folder) == ["s.csv"]


def test_scores_are_the_model_s_own_whatever_the_chunks(folder, monkeypatch):
    """In Python, from a file, an array or batches, with a small part at once: the same values, and
    the model is left as it was."""
    x = np.load("a.npz")["x"]
    model = vdiff.wrap(
        lambda y, s: 0.3 / (0.3 + s[:, None] ** 2) * y, schedule="ve", predicts="x0", data=(2,)
    )
    truth = vdiff.wrap(
        lambda y, s: 0.3 / (0.3 + s[:, None] ** 2) * y, schedule="ve", predicts="x0", data=(2,)
    ).log_prob(x, draws=8)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(x), torch.zeros(150)), 40
    )
    monkeypatch.setattr(rows, "at_once", lambda *_: 70)
    for data in (x, "a.npz", loader, [x[:100], x[100:]], (v for v in [x])):
        found = score(model, data, draws=8, batch_size=100)
        assert np.allclose(found["log_prob"], truth.value, rtol=1e-5, atol=1e-5)
        assert np.allclose(found["std_err"], truth.error, rtol=1e-3, atol=1e-6)
    assert model.controls is None
    assert not np.allclose(score(model, x, draws=8, seed=1)["log_prob"], truth.value, rtol=1e-5)


def killed_after(monkeypatch, chunks):
    """Model.log_prob, which is interrupted once after that many calls; the examples it was asked
    for."""
    asked, log_prob = [], vdiff.Model.log_prob

    def killed(self, x, *given, **keys):
        asked.append(len(x))
        if len(asked) == chunks + 1:
            raise KeyboardInterrupt
        return log_prob(self, x, *given, **keys)

    monkeypatch.setattr(vdiff.Model, "log_prob", killed)
    monkeypatch.setattr(rows, "EVERY", 0.0)
    monkeypatch.setattr(rows, "LOOKS", 1e9)
    return asked


def test_a_killed_run_goes_on_to_the_same_bytes(folder, monkeypatch):
    more = ("--data", "b.npz", "--model", "m.py:on")
    ask(*WORDS, *more)
    whole = (folder / "s.csv").read_bytes()
    (folder / "s.csv").unlink()
    asked = killed_after(monkeypatch, 7)  # in the second model
    ask(*WORDS, *more, code=1)
    assert made(folder) == ["s.csv.part.npz"]
    (folder / ".s.csv.abc.tmp").write_text("left by a killed writer")
    assert "Going on after 3" in ask(*WORDS, *more)
    assert (folder / "s.csv").read_bytes() == whole
    assert sum(asked) == 2 * 290 + 64  # the chunk that was killed is asked for again
    assert made(folder) == ["s.csv"]


@pytest.mark.slow
def test_a_process_that_is_killed_hard_goes_on_to_the_same_bytes(folder):
    """SIGKILL in the middle of the scores; until then a second command is told that it runs."""
    words = [*WORDS, "--method", "ode", "--draws", "1"]
    ask(*words)
    whole = (folder / "s.csv").read_bytes()
    (folder / "s.csv").unlink()
    part, end = folder / "s.csv.part.npz", time.monotonic() + 120
    with subprocess.Popen(
        [sys.executable, "-m", "vdiff", "score", *words],
        env={**os.environ, "SLOW": "0.003", "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while not part.exists():
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.02)
        assert "Another process writes s.csv now" in ask(*words, code=1)
        process.send_signal(signal.SIGKILL)
    assert not (folder / "s.csv").exists()
    assert re.search("Going on after (64|128) of 150 scores", ask(*words))
    assert (folder / "s.csv").read_bytes() == whole
    assert made(folder) == ["s.csv"]


def test_looks_at_the_networks_take_little_of_the_time(folder, monkeypatch):
    """However long one takes: of 30 chunks that are quick, few are looked at, the last one is."""
    looks = []

    def slow(kept, *_):
        looks.append(len(kept.done))
        time.sleep(0.02)

    monkeypatch.setattr(rows, "EVERY", 0.0)
    monkeypatch.setattr(rows, "at_once", lambda *_: 5)
    monkeypatch.setattr(rows, "_check_unchanged", slow)
    monkeypatch.setattr(
        rows,
        "_scores",
        lambda model, m, lot, some, *_: time.sleep(0.005) or np.zeros((len(some), 4)),
    )
    ask(*WORDS)
    assert 2 <= len(looks) <= 4


def of_weights(name):
    return ("--model", f"m.py:{name}", *WORDS[2:])


def test_rows_of_two_networks_are_never_in_one_table(folder, monkeypatch):
    """The file of weights is replaced while the command is not running: it begins anew."""
    killed_after(monkeypatch, 1)
    ask(*of_weights("stored"), code=1)
    assert made(folder) == ["s.csv.part.npz"]
    np.save("weights.npy", 0.5)
    assert "of another network's output; beginning anew" in ask(*of_weights("stored"))
    found = (folder / "s.csv").read_bytes()
    ask(*of_weights("stored"))
    assert (folder / "s.csv").read_bytes() == found
    np.save("weights.npy", 0.3)  # the first network: other numbers
    ask(*of_weights("stored"))
    assert (folder / "s.csv").read_bytes() != found


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_network_that_changes_while_it_is_scored_gives_no_table(folder, monkeypatch, when):
    """In whatever chunk, the last one too; the same command then begins anew."""
    calls, log_prob = [], vdiff.Model.log_prob

    def replaced(self, x, *given, **keys):
        calls.append(x)
        if len(calls) == when:
            np.save("weights.npy", 0.31)
        return log_prob(self, x, *given, **keys)

    monkeypatch.setattr(vdiff.Model, "log_prob", replaced)
    said = ask(*of_weights("read_again"), code=1)
    assert "The network of m.py:read_again changed while it was scored" in said
    assert made(folder) == []
    ask(*of_weights("read_again"))
    assert made(folder) == ["s.csv"]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (b"no archive", "cannot be read as an NPZ file"),
        (b"", "cannot be read as an NPZ file"),
        ({"x": np.zeros(3)}, "of another kind"),
        ({"key": np.zeros(32), "networks": np.zeros(1), "done": np.ones((64, 4))}, "other data"),
    ],
)
def test_what_was_kept_of_something_else_is_no_obstacle(folder, left, said):
    if isinstance(left, bytes):
        (folder / "s.csv.part.npz").write_bytes(left)
    else:
        np.savez(folder / "s.csv.part.npz", **left)
    found = ask(*WORDS)
    assert said in found
    assert "eginning anew" in found
    assert (pd.read_csv("s.csv")["log_prob"] != 1).all()


@pytest.mark.parametrize(
    "other",
    [("--seed", "1"), ("--draws", "9"), ("--method", "ode"), ("--train", "b.npz"),
     ("--data", "c.npz")],
)  # fmt: skip
def test_other_options_begin_anew(folder, monkeypatch, other):
    killed_after(monkeypatch, 1)
    ask(*WORDS, code=1)
    assert "is of other data, options or models" in ask(*WORDS, *other)


def test_the_second_writer_is_told_in_one_sentence(folder):
    with alone(Path("s.csv")):
        said = ask(*WORDS, code=1).strip().splitlines()
    assert said == ["Another process writes s.csv now; wait for it, or give another file by out."]
    ask(*WORDS)
    assert made(folder) == ["s.csv"]


def test_models_are_compared_on_the_same_noise(folder, monkeypatch):
    """The truth of the mean difference lies within four errors, and the error is that of pairs:
    smaller than that of two means."""
    (folder / "n.py").write_text(MODEL)
    (folder / "other").mkdir()
    (folder / "other" / "m.py").write_text(MODEL)
    (folder / "other" / "beside.py").write_text("VARIANCE = 0.6\n")
    said = ask(*WORDS, "--model", "other/m.py:make")
    found = pd.read_csv("s.csv")
    assert list(found["model"].unique()) == ["m.py:make", "other/m.py:make"]
    row = differences(found).iloc[0]
    x = torch.tensor(np.load("a.npz")["x"])
    one, two = (
        torch.distributions.Normal(0, v**0.5).log_prob(x).sum(1).numpy() for v in (0.3, 0.6)
    )
    truth = (two - one).mean() / 2 / np.log(2)
    z = found["bpd"].to_numpy().reshape(2, -1)
    apart = np.hypot(*z.std(1, ddof=1)) / 150**0.5
    assert abs(truth) > 4 * row["std_err"]  # a difference of 0 would be seen
    assert row["difference"] == pytest.approx(truth, abs=4 * row["std_err"])
    assert row["std_err"] < apart / 2
    assert f"m.py:make less other/m.py:make: {row['difference']:+.4f} ±" in said
    assert "given twice" in ask(*WORDS, "--model", "m.py:make", code=1)


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("--labels",), False),
        (("--labels", "--train", "c.npz"), True),
        (("--condition", "y.npy"), False),
        (("--condition", "1"), True),
    ],
)
def test_a_network_is_told_conditions(folder, words, known):
    """Errors are known where it was fitted under conditions that do not depend on the examples."""
    x, y = np.load("c.npz")["x"], np.load("c.npz")["y"]
    np.save("y.npy", y)
    said = ask("--model", "m.py:classes", "--data", "c.npz", "--out", "s.csv", *words)
    found = pd.read_csv("s.csv")
    told = np.ones(100) if "1" in words else y
    law = torch.distributions.Normal(torch.tensor(2.0 * told)[:, None], 0.1**0.5)
    truth = law.log_prob(torch.tensor(x)).sum(1).numpy()
    near = truth > -20  # under a wrong class the bound is noisy
    off = (found["log_prob"] - truth)[near]
    assert abs(off.mean()) < 4 * off.std() / near.sum() ** 0.5 + 0.01
    assert found["std_err"].notna().all() == known
    assert ("errors of single examples are not known" in said) != known


def test_the_keys_of_a_file_are_options(folder):
    ask(*WORDS, "--seed", "3")
    whole = (folder / "s.csv").read_bytes()
    (folder / "score.yaml").write_text(
        "model: m.py:make\ndata: [a.npz]\ndraws: 5\nseed: 3\nout: s.csv\nbatch_size: 256\n"
    )
    ask("--config", "score.yaml", "--draws", "8")  # an option goes before the file
    assert (folder / "s.csv").read_bytes() == whole
    ask("--config", "score.yaml")
    assert (folder / "s.csv").read_bytes() != whole


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drawz: 3", "score.yaml: the key drawz is unknown; did you mean draws?"),
        ("methods: ode", "did you mean method?"),
        ("data: {a: 1}", "data is {'a': 1}; it must be a value or a list of values"),
        ("- 1", "must hold a YAML mapping"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_file_of_options_is_one_sentence(folder, text, said):
    (folder / "score.yaml").write_text(text)
    found = ask(*WORDS, "--config", "score.yaml", code=1).strip().splitlines()
    assert said in found[-1]
    assert len(found) == 1
    assert made(folder) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"m.py:make": "m.py:none"}, "gives a int"),
        ({"m.py:make": "m.py:other"}, "m.py:other gives no model: AttributeError"),
        ({"m.py:make": "m.py:fails"}, f"line {MODEL.count(chr(10))} of m.py, division by zero"),
        ({"m.py:make": "n.py:make"}, "n.py:make gives no model: FileNotFoundError"),
        ({"m.py:make": "bad.py:make"}, "SyntaxError in line 2 of bad.py"),
        ({"m.py:make": "far.py:make"}, "ModuleNotFoundError in line 1 of far.py"),
        ({"m.py:make": "exits.py:make"}, "SystemExit in line 1 of exits.py"),
        ({"m.py:make": "m.py:broken"}, "m.py:broken: The network cannot be asked"),
        ({"m.py:make": "m.py:classes"}, "m.py:classes: "),
        ({"m.py:make": "nowhere"}, "must be FILE.py:FUNCTION or a folder"),
        ({"a.npz": "words.npz"}, "words.npz"),
        ({"a.npz": "wide.npz"}, "wide.npz: x is torch.float32 of shape (4, 3)"),
        ({"a.npz": "few.npz"}, "few.npz has 9 labels y for 100 examples"),
        ({"a.npz": "no.npz"}, "no.npz cannot be read"),
        ({"a.npz": "no.npy"}, "no.npy cannot be read"),
        ({"a.npz": "empty"}, "has no images"),
        ({"8": "1"}, "draws is 1; by elbo it must be at least 2"),
        ({"s.csv": "s.txt"}, "out is s.txt; it must end in .csv"),
        ({"s.csv": "folder.csv"}, "folder.csv is a folder"),
        ({"s.csv": "no/s.csv"}, "The folder no of out is not there"),
        ({"s.csv": "data.csv"}, "out is data.csv, which a.npz is"),
        ({"a.npz": "data.csv", "s.csv": "data.csv"}, "out is data.csv, which data.csv is"),
        ({"s.csv": "weights.csv"}, "out is weights.csv, which m.py is"),
        ({"8": "8 --levels 3"}, "levels is for folders of diffusers"),
        ({"8": "8 --labels"}, "a.npz has no labels y"),
        ({"8": "8 --condition c.npz"}, "c.npz has 100 rows for 150 examples"),
        ({"8": "8 --train wide.npz"}, "wide.npz: x is"),
        ({"8": "8 --against a.npz"}, "given twice"),
        ({"8": "8 --against linked.npz"}, "given twice"),
    ],
)
def test_bad_input_is_one_sentence(folder, change, words):
    (folder / "bad.py").write_text("x = 1\nx = = 2\n")
    (folder / "far.py").write_text("import no_such_module_at_all\n")
    (folder / "exits.py").write_text("raise SystemExit\n")
    (folder / "folder.csv").mkdir()
    (folder / "empty").mkdir()
    Path("data.csv").hardlink_to("a.npz")
    Path("weights.csv").symlink_to("m.py")
    Path("linked.npz").symlink_to("a.npz")
    before = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    line = [part for word in WORDS for part in change.get(word, word).split()]
    said = ask(*line, code=1).strip().splitlines()
    assert words in said[-1]
    assert said[-1].endswith(".")
    assert len([s for s in said if not s.startswith("c.npz has labels")]) == 1
    after = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    assert {p: v for p, v in after.items() if p.name != "__pycache__"} == before


def test_a_folder_that_cannot_be_written_is_said_at_once(folder):
    (folder / "closed").mkdir(mode=0o500)
    if os.access("closed", os.W_OK):  # as root
        pytest.skip("needs a user who may not write everywhere; this one may")
    assert "closed cannot be written" in ask(*WORDS[:-1], "closed/s.csv", code=1)


def test_batches_are_halved_until_they_fit_the_memory():
    """A network that cannot take more than 40 rows: the scores are those of batches it can take;
    where a size was asked for, it is refused in a sentence."""

    def net(y, sigma):
        if len(y) > 40:
            raise torch.OutOfMemoryError("no more")
        return 0.3 / (0.3 + sigma[:, None] ** 2) * y

    model = vdiff.wrap(net, schedule="ve", predicts="x0", data=(2,))
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    found = score(model, x, draws=8)["log_prob"]
    assert np.allclose(found, score(model, x, draws=8, batch_size=32)["log_prob"], atol=1e-5)
    with pytest.raises(VdiffError, match="not enough for batches of 64 rows"):
        score(model, x, draws=8, batch_size=64)
    broken = vdiff.wrap(lambda y, s: y @ y, schedule="ve", predicts="x0", data=(2,))
    with pytest.raises(VdiffError, match="model: The network cannot be asked"):
        score(broken, x)


def test_the_page_about_scoring_runs_as_it_stands(folder):
    """Its blocks in order: the model is told apart from a wider one, the data from others."""
    page = (ROOT / "docs/scoring.md").read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)
    assert [kind for kind, _ in blocks] == [
        "python", "python", "console", "yaml", "console", "console", "text", "python",
    ]  # fmt: skip
    (model, data, first, options, second, _, _, python) = (text for _, text in blocks)
    (folder / "model.py").write_text(model)
    (folder / "score.yaml").write_text(options)
    names: dict = {}
    exec(data, names)
    said = ask(*first.split()[2:])
    found = pd.read_csv("scores.csv")
    assert list(found.columns) == re.findall(r"`(\w+)`", page.split("has the columns")[1])[:7]
    assert len(found) == 2 * 800
    assert "AUROC" in said
    assert float(re.search(r"wider: (\S+) ±", said)[1]) < 0  # the exact one has fewer bits
    ask(*second.split()[2:])
    exec(python, names)
    assert len(names["frame"]) == 1600
