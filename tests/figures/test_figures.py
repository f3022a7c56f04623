"""Figures: drawn from tidy files alone, without torch, and to the same bytes."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from vdiff.errors import VdiffError
from vdiff.figures import examples, lambda_grid, style
from vdiff.figures.draw import draw
from vdiff.figures.samples import tile
from vdiff.files import tidy
from vdiff.resources import published_curves
from vdiff.stats.aggregate import mean_curves


@pytest.fixture
def evaluation():
    rng = np.random.default_rng(0)
    rows = [
        {
            "experiment": "digits", "arm": f"debias-{debias}", "debias": debias, "seed": seed,
            "estimator": estimator, "iteration": i, "examples": 64 * i,
            "bpd": 10 / (1 + i) + 0.1 * rng.random(),
            "bpd_std_err": 0.1, "se_test": np.nan, "se_mc": np.nan, "images": 9, "passes": 1,
            "network_evaluations": 9, "k_hat": 0.7 if i == 20 else 0.1, "k_most": 0.55,
            "share": 0.1,
        }
        for debias in (False, True) for seed in (0, 1)
        for estimator in ("published", "efficient") for i in range(0, 50, 10)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def inputs(tmp_path, evaluation):
    tidy.write_csv(tmp_path / "curves.csv", mean_curves(evaluation), "curves")
    rows = [
        {"experiment": e, "arm": f"debias-{b}", "debias": b, "seed": 0, "iteration": i,
         "loss": 1 / i, "train_bpd": 1}
        for e in ("swissroll", "digits") for b in (False, True) for i in (1, 2, 3)
    ]  # fmt: skip
    tidy.write_csv(tmp_path / "train.csv", rows, "train")
    images = np.random.default_rng(0).integers(0, 17, (4, 1, 8, 8)).astype(np.uint8)
    tidy.write_npz(tmp_path / "samples.npz", samples=images, test=images, levels=17)
    for lmbd in (0, 1):
        counts = {f"step_{i:05d}": np.eye(8) for i in (10, 20)}
        tidy.write_npz(tmp_path / f"lmbd_{lmbd}.npz", lmbd=lmbd, extent=5.0, **counts)
    lmbds = [tmp_path / "lmbd_0.npz", tmp_path / "lmbd_1.npz"]
    return {
        "bpd": [tmp_path / "curves.csv"],
        "standard-error": [tmp_path / "curves.csv"],
        "examples": [tmp_path / "curves.csv"],
        "loss": [tmp_path / "train.csv"],
        "samples": [tmp_path / "samples.npz"] * 2,
        "lambda-grid": lmbds,
        "lambda-strips": lmbds,
    }


@pytest.mark.parametrize(
    "figure",
    [
        "bpd",
        "samples",
        "lambda-grid",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("standard-error", "examples", "loss", "lambda-strips")
        ),
    ],
)
def test_every_figure_is_drawn_to_the_same_bytes(tmp_path, inputs, figure):
    first, second = ([tmp_path / f"{k}.{kind}" for kind in ("png", "pdf", "svg")] for k in "ab")
    for paths in (first, second):
        draw(figure, inputs[figure], paths)
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.stat().st_size > 3000


def test_a_dark_figure_is_dark(tmp_path, inputs):
    draw("loss", inputs["loss"], [tmp_path / "a.png"], dark=[tmp_path / "b.png"])
    light, dark = (plt.imread(tmp_path / f"{k}.png")[0, 0, :3] for k in "ab")
    assert light.min() == 1
    assert dark.max() < 0.2


@pytest.mark.slow
def test_figures_import_no_torch():
    code = (
        "import sys, importlib, vdiff.report.page; from vdiff.figures.registry import FIGURES\n"
        "assert 'matplotlib' not in sys.modules\n"
        "[importlib.import_module(f'vdiff.figures.{f.module}') for f in FIGURES.values()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_colours_are_the_papers():
    assert style.PAPER["debias-False"].color == "#1f77b4"
    assert style.PAPER["debias-True"].color == "#ff7f0e"


def test_other_arms_have_colours_of_their_own():
    looks = style.looks(["improved", "debias-True", "debias-False", "debias-True_lr=0.01"])
    assert list(looks)[:2] == ["debias-False", "debias-True"]
    assert len({look.color for look in looks.values()}) == 4


def test_curves_average_over_seeds_and_say_how_they_scatter(evaluation):
    curves = mean_curves(evaluation)
    one = curves.iloc[0]
    part = evaluation[
        (evaluation.debias == one.debias)
        & (evaluation.estimator == one.estimator)
        & (evaluation.iteration == one.iteration)
    ]
    assert one.bpd == pytest.approx(part.bpd.mean())
    assert one.se_seeds == pytest.approx(part.bpd.std() / 2**0.5)
    assert one.seeds == 2


def test_tiles_keep_the_pixels():
    images = np.arange(3 * 4).reshape(3, 1, 2, 2)
    picture = tile(images, 12)
    assert picture.shape == (5, 5)
    assert np.allclose(picture[3:, :2] * 11, images[2, 0])


def test_the_grid_of_lambda_has_a_panel_for_each(tmp_path):
    """Each scaled to its own maximum, x to the right and y upwards, with nothing between."""
    counts = np.random.default_rng(0).poisson(3, (2, 2, 50, 50))
    paths = [tmp_path / f"{k}.npz" for k in range(2)]
    for lmbd, path, (a, b) in zip((-1, 1), paths, counts, strict=True):
        tidy.write_npz(path, lmbd=lmbd, extent=5.0, step_00010=a, step_00020=3 * b)
    with style.paper():
        (ax,) = lambda_grid.draw(paths).axes
        (picture,) = ax.images
    shown = picture.get_array()
    assert shown.shape == (102, 102, 4)
    for i, j in np.ndindex(2, 2):
        panel = shown[52 * i : 52 * i + 50, 52 * j : 52 * j + 50]
        own = (counts[i, j] - counts[i, j].min()) / np.ptp(counts[i, j])
        assert np.allclose(panel, plt.get_cmap("jet")(own.T[::-1]))
    assert (shown[50:52, :, 3] == 0).all() and (shown[:, 50:52, 3] == 0).all()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["λ = \N{MINUS SIGN}1", "λ = 1"]
    assert ax.get_yticks() == pytest.approx([77 / 102, 25 / 102], abs=1e-3)


def test_bad_input_is_one_sentence(tmp_path, inputs):
    with pytest.raises(VdiffError, match=r"'\.gif'; it must be \.png"):
        draw("loss", inputs["loss"], [tmp_path / "x.gif"])
    with pytest.raises(VdiffError, match="no rows of the experiment 'mnist'"):
        draw("bpd", inputs["bpd"], [tmp_path / "x.png"], experiment="mnist")
    with pytest.raises(VdiffError, match="no step 30"):
        draw("lambda-grid", inputs["lambda-grid"], [tmp_path / "x.png"], columns=[30])


def test_published_curves_stand_beside_ours_against_images_seen(inputs):
    """In batches of 128; where only values were published, they are lines across."""
    table = published_curves().query("iteration > 1")
    with style.paper():
        figure = examples.draw(inputs["bpd"], beside="cifar10")
        across = examples.draw(inputs["bpd"], beside="mnist")
    for ax in figure.axes:
        drawn = [line.get_xydata() for line in ax.lines]
        low, high = ax.get_ylim()
        for debias in (False, True):
            curve = table.loc[table["debias"] == debias, ["iteration", "bpd"]].to_numpy()
            curve[:, 0] *= 128
            assert any(line.shape == curve.shape and np.allclose(line, curve) for line in drawn)
            assert low < curve[:, 1].min() and curve[:, 1].max() < high
    assert any(set(line.get_ydata()) == {1.17} for line in across.axes[0].lines)
    plt.close("all")


def test_fonts_travel_with_the_figure(tmp_path, inputs):
    draw("loss", inputs["loss"], [tmp_path / "a.pdf", tmp_path / "a.svg"])
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # TrueType inside
    assert b"/Type3" not in pdf  # which some journals refuse
    assert "<text" not in (tmp_path / "a.svg").read_text()  # letters are outlines
