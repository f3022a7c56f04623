"""`vdiff score`: the likelihood of files of examples under a model of one's own."""

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import vdiff
from vdiff import scoring
from vdiff.cli import main
from vdiff.stats.outliers import auroc, typicality

MODEL = '''
import vdiff

def make():
    """Data N(0, 0.3) on each of two axes."""
    def net(y, sigma):
        return 0.3 / (0.3 + sigma[:, None] ** 2) * y
    return vdiff.wrap(net, schedule="ve", predicts="x0", data=(2,))

def on(device):
    if device != "cpu":
        raise ValueError(device)
    return make()

def none():
    return 3
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    (tmp_path / "m.py").write_text(MODEL)
    np.savez(tmp_path / "a.npz", x=0.3**0.5 * rng.standard_normal((300, 2)).astype(np.float32))
    np.savez(tmp_path / "b.npz", x=0.6 * rng.standard_normal((290, 2)).astype(np.float32))
    np.savez(tmp_path / "words.npz", x=np.array(["a"]))
    np.savez(tmp_path / "wide.npz", x=np.zeros((4, 3), np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def score(*words, code=0):
    found = CliRunner().invoke(main, ["score", *words])
    assert found.exit_code == code, found.output
    return found.output


WORDS = ("--model", "m.py:make", "--data", "a.npz", "--draws", "4", "--out", "s.csv")


def test_a_function_is_told_the_device(folder):
    """What the numbers are is not changed by it."""
    score(*WORDS)
    plain = (folder / "s.csv").read_bytes()
    score("--model", "m.py:on", *WORDS[2:], "--device", "cpu")
    assert (folder / "s.csv").read_bytes() == plain
    said = score(*WORDS, "--device", "cuda:7", code=1)
    assert "cuda:7" in said


def test_every_example_has_its_score(folder):
    said = score(*WORDS, "--against", "b.npz")
    rows = pd.read_csv("s.csv")
    assert list(rows["file"].value_counts().items()) == [("a.npz", 300), ("b.npz", 290)]
    x = torch.cat([scoring.examples_of(folder / name) for name in ("a.npz", "b.npz")])
    truth = torch.distributions.Normal(0, 0.3**0.5).log_prob(x).sum(1).numpy()
    off = rows["log_prob"] - truth
    assert abs(off.mean()) < 4 * np.square(rows["std_err"]).mean() ** 0.5 / len(rows) ** 0.5 + 0.003
    assert np.allclose(rows["bpd"], -rows["log_prob"] / 2 / np.log(2))
    assert "AUROC" in said
    assert not list(folder.glob("*.part*"))


def test_a_killed_run_goes_on_to_the_same_bytes(folder, monkeypatch):
    score(*WORDS, "--data", "b.npz")
    whole = (folder / "s.csv").read_bytes()
    asked = []
    log_prob = vdiff.Model.log_prob

    def killed(self, x, **keys):
        asked.append(len(x))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return log_prob(self, x, **keys)

    monkeypatch.setattr(vdiff.Model, "log_prob", killed)
    (folder / "s.csv").unlink()
    score(*WORDS, "--data", "b.npz", code=1)
    assert (folder / "s.csv.part.npz").exists()
    score(*WORDS, "--data", "b.npz")
    assert (folder / "s.csv").read_bytes() == whole
    assert sum(asked) == 590 + 256  # the part that was killed is asked for again


def test_other_draws_begin_anew(folder, monkeypatch):
    np.savez(folder / "s.csv.part.npz", key=np.zeros(32, np.uint8), done=np.ones((256, 4)))
    score(*WORDS)
    assert (pd.read_csv("s.csv")["log_prob"] != 1).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"m.py:make": "m.py:none"}, "gives a int"),
        ({"m.py:make": "m.py:other"}, "m.py:other gives no model: AttributeError"),
        ({"m.py:make": "n.py:make"}, "n.py:make gives no model: FileNotFoundError"),
        ({"m.py:make": "nowhere"}, "must be FILE.py:FUNCTION or a folder"),
        ({"a.npz": "words.npz"}, "words.npz"),
        ({"a.npz": "wide.npz"}, "wide.npz: x is torch.float32 of shape (4, 3)"),
        ({"a.npz": "no.npz"}, "no.npz cannot be read"),
    ],
)
def test_bad_input_is_one_sentence(folder, change, words):
    said = score(*(change.get(word, word) for word in WORDS), code=1).strip().splitlines()[-1]
    assert words in said
    assert said.endswith(".")
    assert not (folder / "s.csv").exists()


def test_a_file_given_twice_is_refused(folder):
    assert "given twice" in score(*WORDS, "--against", "a.npz", code=1)


def test_the_auroc_is_that_of_normals_and_its_error_covers():
    """Scores N(0, 1) and N(1, 1): Phi(1 / sqrt 2) = 0.760."""
    rng, inside = np.random.default_rng(1), []
    for _ in range(300):
        a, b = rng.standard_normal(80), rng.standard_normal(60) + 1
        value, error = auroc(a, b)
        direct = (b[:, None] > a).mean()
        assert value == pytest.approx(direct)
        inside.append(abs(value - 0.7602) < 1.96 * error)
    assert 0.91 <= np.mean(inside) <= 0.98


def test_typicality_finds_what_is_too_likely():
    """Scores that are all alike and above: the likelihood calls none of them rare."""
    rng = np.random.default_rng(2)
    own, others = rng.standard_normal(400), 3 + 0.1 * rng.standard_normal(100)
    assert auroc(-own, -others)[0] < 0.05
    assert auroc(*typicality(own, others))[0] > 0.95
