"""The report page, in a real browser where there is one; and comparisons of two results."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from support.browser import opened, violations
from support.pipeline import ROOT

from vdiff.cli import main
from vdiff.config import load_config, run_of
from vdiff.figures import registry
from vdiff.figures.draw import draw
from vdiff.files import tidy
from vdiff.files.layout import Who
from vdiff.files.manifest import manifest
from vdiff.files.objects import write_json
from vdiff.files.schemas import SCHEMAS
from vdiff.report import page
from vdiff.report.contents import described, figures
from vdiff.report.page import write_report
from vdiff.report.questions import QUESTIONS
from vdiff.resources import published_curves
from vdiff.stats import claims
from vdiff.stats.evidence import FAILS, HOLDS, MORE, OPEN, Claim

# One experiment with an arm beyond the paper: its three figures, and three of all experiments.
SMALL_ARMS = {"other": {"debias": True, "training": {"lr": 0.5}}, "debias-True": {}}
SMALL = {
    "preset": "smoke",
    "only": ["cosine"],
    "experiments": {"cosine": {"arms": SMALL_ARMS}},
}
FIGURES = 8
CURVES = [
    {"experiment": "cosine", "arm": arm, "debias": True, "estimator": "efficient", "seeds": 1,
     "iteration": i, "examples": 64 * i, "bpd": scale / i, "se_test": 0.1, "se_seeds": None,
     "images": 9, "doubtful": False}
    for arm, scale in (("debias-True", 8), ("other", 2)) for i in (1, 2, 4)
]  # fmt: skip


def describe(folder, **over):
    """Make a results folder that speaks of a small configuration; returns that."""
    config = load_config({**SMALL, **over})
    write_json(folder / "config.json", described(config))
    return config


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A results folder with its figures; made once, not changed."""
    folder = tmp_path_factory.mktemp("drawn")
    row = dict.fromkeys(SCHEMAS["claims"], 0.5)
    words = {
        "claim": "A <b>claim</b>",
        "verdict": "holds",
        "why": "tested",
        "where": "here",
        "figure": "theory",
    }
    tidy.write_csv(folder / "claims.csv", [{**row, **words}], "claims")
    caught = {**dict.fromkeys(SCHEMAS["controls"], 0.5), "fault": "no <b>g</b>", "rejected": False}
    tidy.write_csv(folder / "controls.csv", [caught], "controls")
    made = {"command": ["vdiff", "--log", "logs/train.log", "train"]}
    made |= {"seconds": 12.5, "memory_mb": 300.0}
    anew = {**made, "command": ["vdiff", "report", "here"]}  # without a log of its own
    results = {"train.csv": made, "figures/loss.png": anew}
    write_json(folder / "manifest.json", {"seed": 1, "results": results})
    tidy.write_csv(folder / "curves.csv", CURVES, "curves")
    tidy.write_csv(folder / "train.csv", [], "train")
    difference = dict.fromkeys(SCHEMAS["differences"], 0.5)
    pair = {"experiment": "cosine", "first": "other", "second": "debias-True"}
    difference |= {**pair, "estimator": "efficient", "iteration": 1, "seed": 0}
    tidy.write_csv(folder / "differences.csv", [difference], "differences")
    pictures = [folder / name for name in figures(describe(folder))]
    draw("published-curves", [], [path for path in pictures if path.suffix == ".png"])
    draw("published-curves", [], [folder / "figures/bpd-of-a-former-run.png"])
    return folder


@pytest.fixture
def results(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "demo")


def test_the_page_stands_beside_what_was_published(results):
    """On a part of CIFAR-10: what differs from the paper's preset is named, key by key."""
    describe(results, experiments={"cosine": {"published_on": "cifar10", "arms": SMALL_ARMS}})
    write_report(results, results / "report.html")
    page = (results / "report.html").read_text()
    assert "Beside the paper: cosine" in page
    assert "kind cosine (vp), " in page
    assert re.search(r"channels \d+ \(128\)", page)
    assert "training images seen 256 (12,800,000), test images 9 (10,000)" in page
    assert re.search(r"debias True</td><td class=.number.>3.1[0-9]</td>", page)


def test_the_page_has_joules_where_they_were_counted(results):
    write_report(results, results / "report.html")
    assert "Joules" not in (results / "report.html").read_text()
    manifest = json.loads((results / "manifest.json").read_text())
    manifest["results"]["train.csv"]["joules"] = 417.0
    write_json(results / "manifest.json", manifest)
    write_report(results, results / "report.html")
    assert (
        '<td class="number" data-label="Joules">417</td>' in (results / "report.html").read_text()
    )


def test_the_page_needs_nothing_but_itself(results):
    write_report(results, results / "report.html")
    page = (results / "report.html").read_text()
    assert "A &lt;b&gt;claim" in page  # escaped
    assert 'src="data:image/png;base64,' in page
    assert not re.findall(r'(?:src|srcset)="(?!data:)', page)
    assert set(re.findall(r'href="(?!data:|#)([^"]*)', page)) == {
        "https://arxiv.org/abs/2106.02808"
    }
    assert page.count("<figure") == FIGURES
    assert "former" not in page
    assert "12.5" in page


def test_arms_beyond_the_papers_have_their_section(results):
    """The arm `other` is at 2 bits/dim after 64 examples, where debias-True ends after 256."""
    write_report(results, results / "report.html")
    page = (results / "report.html").read_text()
    assert "Beyond the paper" in page
    assert "lr 0.5" in page
    assert "64 of 256: 25%" in page
    assert "0.500 ± 0.100, paper&#39;s 2.000" in page


@pytest.mark.slow
def test_a_browser_shows_every_image_and_the_table(results):
    write_report(results, results / "report.html")
    dom, messages = opened(results / "report.html", results)
    assert 'data-broken="0"' in dom
    assert f'data-images="{FIGURES}"' in dom
    assert "<title>vdiff report" in dom
    assert "A &lt;b&gt;claim" in dom
    assert ":CONSOLE(" not in messages


def test_the_pointer_reads_values_off_the_curves(results):
    """At the last point of the published curve of debias True, and far from every curve."""
    write_report(results, results / "report.html")
    last = published_curves().query("debias").iloc[-1]
    move = """<script>addEventListener("load", () => {
      const picture = document.querySelector("figure picture");
      const value = picture.querySelector(".value");
      const at = (left, top) => {
        const box = picture.querySelector("img").getBoundingClientRect();
        const where = {clientX: box.left + left * box.width, clientY: box.top + top * box.height};
        picture.dispatchEvent(new PointerEvent("pointermove", where));
        return value.hidden ? "" : value.textContent;
      };
      const [left, top] = JSON.parse(picture.dataset.values)[1].points.at(-1);
      document.body.dataset.near = at(left, top);
      document.body.dataset.far = at(0, 1);
    });</script></body>"""
    moved = results / "moved.html"
    moved.write_text((results / "report.html").read_text().replace("</body>", move))
    dom, _ = opened(moved, results)
    said = f"test bpd (bits/dim): {last['bpd']:.4g}\ntraining iteration: {last['iteration']:,.0f}"
    assert f'data-near="debias True\n{said}"' in dom
    assert 'data-far=""' in dom


@pytest.mark.slow
def test_axe_finds_nothing_wrong_with_the_page(results, tmp_path):
    write_report(results, results / "report.html")
    assert violations(results / "report.html", tmp_path) == []


CLAIM = {"verdict": HOLDS, "experiment": "digits", "name": "lower_bpd", "published": "-0.31"}
CLAIM |= {"theorem": False, "drift": "learned", "margin": "", "change": np.nan, "why": ""}


def claim(**over):
    words = {"claim": "It is lower", "unit": "bits", "figure": "bpd", "where": ""}
    return page._claim({**dict.fromkeys(SCHEMAS["claims"], 0.5), **words, **CLAIM, **over})


def test_further_data_sets_are_folded_behind_the_first():
    """Every figure is there once, and the caption of a kind once."""
    found = [{"kind": kind, "of": of, "caption": "C"} for kind, of in ("a1", "a2", "b1", "a3")]
    a, b = page._folded(found)
    assert [f["of"] for f in (a, *a["more"])] == ["1", "2", "3"]
    assert (a["caption"], b["caption"], b["more"]) == ("C", "C", [])
    assert {f["caption"] for f in a["more"]} == {""}


def test_minus_signs_are_no_hyphens():
    published = claim(published="-0.31 \u00b1 0.06 (CIFAR-10, 80k-100k)")["published"]
    assert published == "\u22120.31 \u00b1 0.06 (CIFAR-10, 80k-100k)"


def test_the_sentences_on_top_say_what_the_table_says():
    """Numbers as they are there; a gap's course, of its columns alone; theorems by what they were
    tested on and their margins; and what fails or is not tested, by name."""
    course = {"change": 0.26, "change_low": 0.16, "change_high": 0.37}
    theorem = {"theorem": True, "margin": claims.TENTH, "published": "whatever"}
    rows = [
        claim(ours=-0.41, low=-0.43, high=-0.4, **course, why="goes on by +9 a doubling"),
        claim(ours=0.03, low=0.02, high=0.04, verdict=FAILS, experiment="photos"),
        claim(name="gap", **theorem, drift="exact"),
        claim(name="flow", **theorem, verdict=OPEN),
        claim(name="bias", **{**theorem, "margin": claims.OWN}),
        claim(name="bound", **{**theorem, "margin": ""}, drift="exact"),
        claim(name="other", published="theorem"),
        claim(name="better_samples", verdict=MORE, published="a picture"),
        claim(name="better_samples", verdict=FAILS, published="a picture", experiment="photos"),
    ]
    first, second, third = page.sentences(rows)
    assert first == (
        "3 of 4 statements that are theorems hold; 2 where the drift is exact and 2 on the "
        "nets trained here; 2 within a tenth of the published effect, 1 within margins of their "
        "own and 1 without noise or margin."
    )
    assert "by 0.41 (0.40 to 0.43) on digits; it does not on photos" in second
    assert second.endswith("that lead changed by \u22120.26 (\u22120.37 to \u22120.16) on digits.")
    assert "does not hold on photos and would need a larger preset on digits" in third
    assert page.sentences([]) == []
    (all_hold,) = page.sentences([claim(name="gap", **theorem)])
    assert all_hold.startswith("The mathematics checks out: all 1 statements that")


CLAIMS = [c for c in vars(claims).values() if isinstance(c, Claim)]
CLAIMS += [c for c, _, _ in claims.IDENTITIES.values()]


def test_every_claim_and_figure_has_its_question():
    """Once; and each claim a name of its own in the matrix."""
    slugs = [q.slug for q in QUESTIONS]
    figures = [name for q in QUESTIONS for name in q.figures]
    assert len(CLAIMS) == len({c.name for c in CLAIMS}) == len({c.short for c in CLAIMS}) >= 14
    assert {c.question for c in CLAIMS} == set(slugs)
    assert set(figures) == set(registry.FIGURES) - {"comparison"}
    assert all(figure.title for figure in registry.FIGURES.values())


def test_a_claim_without_a_question_stands_under_one_of_its_own():
    """The pages' rows, in the order of the questions."""
    rows = [claim(question=slug, short=slug) for slug in ("none", "tight", "matching")]
    asked = page._questions(rows, [])
    assert [(q["slug"], len(q["rows"])) for q in asked] == [
        ("matching", 1), ("tight", 1), ("others", 1)
    ]  # fmt: skip


def per_image(folder, shift):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, 50))
    u = np.stack([(rng.permutation(50) + 0.5) / 50 for _ in range(2)])
    noise = 0.01 * np.random.default_rng(1).standard_normal((2, 50)) if shift else 0
    run = run_of(describe(folder), "cosine", "other", 0)
    path = folder / Who("cosine", "other", 0).folder
    write_json(path / "run.json", run.model_dump())
    tidy.write_npz(path / "per_image.npz", efficient_00000010=z + shift + noise, u=u)


def test_two_results_are_compared_in_pairs(tmp_path):
    per_image(tmp_path / "a", 0.2)
    per_image(tmp_path / "b", 0.0)
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    words += ["--out", str(tmp_path / "c.csv"), "--figure", str(tmp_path / "c.png")]
    assert CliRunner().invoke(main, words).exit_code == 0
    (row,) = tidy.read_csv(tmp_path / "c.csv", "comparison").to_dict("records")
    assert row["difference"] == pytest.approx(0.2, abs=4 * row["std_err"])
    assert row["std_err"] < 0.005
    assert (tmp_path / "c.png").stat().st_size > 3000


def test_nothing_in_common_is_one_sentence(tmp_path):
    describe(tmp_path / "a")
    describe(tmp_path / "b", experiments={"cosine": {"arms": {"another": {"debias": True}}}})
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c.csv")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "no evaluated run in common" in result.output


def test_manifest_names_versions_and_machine(tmp_path):
    made = manifest({"a": 1}, tmp_path, [], ["training.loop"], {})
    assert made["config"] == {"a": 1}
    assert made["packages"]["torch"].startswith("2.")
    assert len(made["code"]["training.loop"]) == 12


def test_the_commit_is_the_projects_own_or_none(tmp_path):
    """The sources unpacked inside another repository have no commit to tell."""
    shutil.copytree(ROOT / "vdiff", tmp_path / "inside" / "vdiff")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init"], ["commit", "--allow-empty", "-m", "another project"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    code = "from vdiff.files.manifest import made_by; print(made_by()['vdiff']['commit'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "inside", capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "inside")},
    )  # fmt: skip
    assert done.stdout.strip() == "None", done.stderr


def test_every_claim_has_its_figure_and_every_table_its_link(results):
    """In the page's own text: each link within it leads somewhere, names are there once."""
    write_report(results, results / "report.html")
    page = (results / "report.html").read_text()
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(names)
    assert 'download="claims.csv"' in page
    assert 'download="curves.csv"' in page
    assert all(len(alt) > 20 for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))
    assert page.count("<th>") == 0  # each has its scope
    dark = page.count('srcset="data:image/png')
    assert dark == page.count("<figure") - page.count('class="moving"')


def test_a_claim_of_every_kind_is_linked_to_a_figure(finished):
    """The smoke preset has all of them."""
    folder, _ = finished
    found = tidy.read_csv(folder / "results/smoke/claims.csv", "claims")
    assert set(found["figure"]) <= set(registry.FIGURES)
    assert found.groupby("name")["claim"].nunique().max() <= 2  # exact and learned
    assert dict(zip(found["name"], found["short"], strict=True)).items() <= {
        (c.name, c.short) for c in CLAIMS
    }
