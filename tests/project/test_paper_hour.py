"""The half hour on a card, rehearsed: killed and resumed to the same bytes, and kept."""

import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import redirect_stdout
from io import StringIO

import pytest
from support.commands import vdiff
from support.pipeline import ROOT

from benchmarks import paper_hour
from vdiff.config import Config, merge, validate
from vdiff.report.contents import described

pytestmark = pytest.mark.slow
COMMAND = str(ROOT / "benchmarks" / "paper_hour.py")
SMALL = ["--small", "--device=cpu", "--every=0"]


def hour(folder, *words, rates=0.0):
    return [COMMAND, *SMALL, f"--out={folder}", f"--rates={rates}", *words]


def said(command):
    """What the command prints; in this process, which has torch imported."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        patch.setattr(sys, "argv", command)
        patch.setenv("VDIFF_PROGRESS", "none")
        paper_hour.main()
    return out.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The FOLDER of an uninterrupted rehearsal."""
    folder = tmp_path_factory.mktemp("whole")
    assert "All iterations are done." in said(hour(folder, rates=0.02))
    return folder


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A function of a FOLDER: the bytes of its tables and arrays."""
    monkeypatch.setattr(paper_hour, "redraw", lambda *_: None)
    call = paper_hour.call

    def of(name, folder):
        to = tmp_path / f"tables-{name}"
        monkeypatch.setattr(paper_hour, "call", lambda *w: w[0] == "manifest" or call(*w))
        config = paper_hour.config_of(small=True)
        paper_hour.write_tables(paper_hour.newest(folder)[1], config, to, ROOT / "data")
        paths = [*to.rglob("*.csv"), *to.rglob("*.npz")]
        return {str(path.relative_to(to)): path.read_bytes() for path in paths}

    return of


def test_a_rehearsal_that_is_killed_goes_on_to_the_same_bytes(whole, tables, tmp_path):
    """Stopped by its time, then killed, and its newest copy cut off, as by a kill while it is
    written: the older one is taken up. What it holds then, part of the tables, are other bytes."""
    folder = tmp_path / "killed"
    assert "Stopped by the end of its time slice" in said(hour(folder, "--minutes=0"))
    process = subprocess.Popen([sys.executable, *hour(folder)], stdout=subprocess.DEVNULL)
    while not all((folder / f"copy-{k}-0").exists() for k in range(2)):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    number, content = paper_hour.newest(folder)
    path = folder / f"copy-{number}-0"
    os.truncate(path, path.stat().st_size // 2)
    older = paper_hour.newest(folder)
    assert (older[0], older[1]["serial"]) == (1 - number, content["serial"] - 1)
    assert tables("half", folder) != (expected := tables("whole", whole))
    assert "debias-True seed=0 goes on at iteration" in said(hour(folder))
    assert tables("resumed", folder) == expected
    assert len(expected) >= 12


def test_other_settings_are_refused_in_a_sentence(whole):
    """By a changed key; the same call with nothing changed is not."""
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    options = Namespace(out=whole, data_root=ROOT / "data")
    arms = {"debias-True": {"training": {"lr": 0.5}}}
    keys = merge(described(paper_hour.config_of(True)), {"experiments": {"digits": {"arms": arms}}})
    with pytest.raises(paper_hour.VdiffError) as error:
        paper_hour.train(options, validate(Config, keys))
    key = "config.experiments.digits.arms.debias-True.training.lr"
    assert f"was made with {key} 0.001, not 0.5; give another folder" in str(error.value)
    assert "All iterations are done." in said(hour(whole, "--every=9"))
    assert set(before) == {path.name for path in whole.iterdir()}


def test_a_copy_is_in_files_of_a_size_and_no_more_than_four(tmp_path, monkeypatch):
    monkeypatch.setattr(paper_hour, "PIECE", 1000)
    paper_hour.write_copy(tmp_path, 0, {"serial": 1, "bytes": "x" * 2500})
    assert sorted(p.stat().st_size for p in tmp_path.iterdir())[1:] == [1000, 1000, 1000]
    assert paper_hour.newest(tmp_path)[1]["bytes"] == "x" * 2500
    with pytest.raises(paper_hour.VdiffError, match="more than 4 x 1,000"):
        paper_hour.write_copy(tmp_path, 1, {"serial": 2, "bytes": "x" * 5000})
    assert paper_hour.newest(tmp_path)[1]["serial"] == 1


def test_what_it_made_is_reported_and_kept_by_the_commands_that_it_names(whole, tmp_path):
    results, kept = tmp_path / "results", tmp_path / "kept"
    said([COMMAND, "--small", f"--out={whole}", f"--tables={results}"])
    assert "| precision |" in (results / "gpu.md").read_text()
    subprocess.run(vdiff("report", results), check=True)
    subprocess.run(vdiff("keep", results, kept), check=True)
    again = kept / "claims-again.csv"
    subprocess.run(vdiff("claims", kept, "--out", again), check=True)
    assert again.read_bytes() == (kept / "claims.csv").read_bytes()
