"""Measures of sample quality: known values, coverage of their errors, and the features."""

import numpy as np
import pytest
import torch

from benchmarks.quality import kernel_difference
from vdiff.config import Quality, load_config, run_of
from vdiff.data import load
from vdiff.data.images import Images
from vdiff.errors import VdiffError
from vdiff.files.weights import write_snapshot
from vdiff.nets.features import TURNS, Classifier, features, labelled, learn, scaled, turned
from vdiff.stats import quality
from vdiff.steps.quality import measure, spaces, texture
from vdiff.trained import Trained


def test_kernel_distance_is_that_of_its_definition():
    """Against a double loop, and its error against removing each image by hand."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 3)), rng.standard_normal((7, 3))

    def direct(x, y):
        def k(a, b):
            return (a @ b / 3 + 1) ** 3

        xx = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
        yy = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
        return xx + yy - 2 * np.mean([k(a, b) for a in x for b in y])

    value, error = quality.kernel_distance(x, y)
    assert value == pytest.approx(direct(x, y))
    without_x = np.array([direct(np.delete(x, i, 0), y) for i in range(9)])
    without_y = np.array([direct(x, np.delete(y, i, 0)) for i in range(7)])
    square = sum(
        (len(v) - 1) / len(v) * np.square(v - v.mean()).sum() for v in (without_x, without_y)
    )
    assert error == pytest.approx(square**0.5)


@pytest.mark.parametrize("off", [0.0, 0.5])
def test_errors_of_the_kernel_difference_cover(off):
    """Two arms off by the same amount in different directions: the truth is 0; 95% intervals over
    400 repeats cover 92 to 98%."""
    rng, n, d, inside = np.random.default_rng(1), 100, 6, []
    shift = np.zeros((2, d))
    shift[0, 0] = shift[1, 1] = off
    for _ in range(400):
        a, b = (rng.standard_normal((n, d)) + s for s in shift)
        value, error = kernel_difference(a, b, rng.standard_normal((n, d)))
        inside.append(abs(value) < 1.96 * error)
    assert 0.92 <= np.mean(inside) <= (0.98 if off else 1.0)  # equal laws: errors are too large


def test_the_classifier_tells_what_differs_and_nothing_else():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 400, 5))
    value, error = quality.classifier(x, y, rng)
    assert abs(value) < 4 * error
    far, _ = quality.classifier(x + 1, y, rng)
    assert far == pytest.approx(0.5 - 0.132, abs=0.06)  # Bayes error of 5 axes: Phi(-sqrt(5) / 2)


def test_neighbours_know_lost_modes_and_junk():
    """Two clusters. Samples of one: precise, with half of the recall and coverage; junk: none."""
    rng = np.random.default_rng(3)
    centre = np.array([[0.0, 0.0], [40.0, 0.0]])
    y = centre[rng.integers(2, size=600)] + rng.standard_normal((600, 2))
    one = rng.standard_normal((600, 2))
    found = {k: v for k, (v, _) in quality.neighbours(one, y).items()}
    assert found["precision"] > 0.9
    assert found["recall"] == pytest.approx(0.5, abs=0.1)
    assert found["coverage"] == pytest.approx(0.5, abs=0.1)
    junk = quality.neighbours(one + np.array([0, 80]), y)
    assert junk["precision"][0] == junk["density"][0] == junk["coverage"][0] == 0
    same = quality.neighbours(y + 0.0, y)
    assert same["precision"][0] == same["coverage"][0] == 1


def test_copies_are_counted():
    rng = np.random.default_rng(4)
    train, y, x = rng.standard_normal((3, 1000, 8))
    clean, _ = quality.copies(x, y, train)
    x[:50] = train[:50]
    share, error = quality.copies(x, y, train)
    assert clean < 0.025
    assert share - clean == pytest.approx(0.05, abs=0.01)
    assert 0.004 < error < 0.012


def test_scaling_makes_units_of_features():
    rng = np.random.default_rng(5)
    y = rng.standard_normal((500, 3)) * [1, 5, 0] + [2, 3, 4]
    scale = quality.scaling(y, each=True)
    a, b = scale(y + 1), scale(y)
    assert a.shape == b.shape == (500, 2)  # a feature that does not vary is left out
    assert np.allclose(b.std(0), 1)
    assert np.allclose((a - b).mean(0), 1 / y.std(0)[:2])
    together = quality.scaling(y, each=False)(y)
    assert np.square(together).mean() == pytest.approx(1)


def test_errors_cover_at_large_distances_where_the_scale_is_of_other_images():
    """Samples off by 3 in one of four features. 95% intervals over 400 repeats cover 91 to 98% of
    the distance in the unit of 2,000 training images, whatever those are; the control, the unit of
    the test images themselves, covers less than 80% (58% of 600)."""
    rng, n, d, inside, control = np.random.default_rng(7), 150, 4, [], []
    off = np.array([3.0, 0, 0, 0])

    def drawn(n):
        return rng.standard_normal((n, d))

    unit = quality.scaling(drawn(2000), each=True)
    # Without bias at any size: many small samples are as good as a few large ones, and cheaper.
    many = [[drawn(500) + off, drawn(500)] for _ in range(24)]
    truth = np.mean([quality.kernel_distance(unit(x), unit(y))[0] for x, y in many])
    # In the unit of the law itself, to which that of the test images tends.
    true = np.mean([quality.kernel_distance(x, y)[0] for x, y in many])
    for _ in range(400):
        x, y = drawn(n) + off, drawn(n)
        value, error = quality.kernel_distance(unit(x), unit(y))
        inside.append(abs(value - truth) < 1.96 * error)
        own = quality.scaling(y, each=True)
        value, error = quality.kernel_distance(own(x), own(y))
        control.append(abs(value - true) < 1.96 * error)
    assert 0.91 <= np.mean(inside) <= 0.98
    assert np.mean(control) < 0.8


def test_features_are_learned_from_turns_and_repeatable():
    """Images with a bright top: their turns are told apart; the same seed gives the same net."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randint(0, 60, (200, 1, 8, 8), generator=rng)
    x[:, :, :3] += 150
    x = x.to(torch.uint8)
    nets = []
    for _ in range(2):
        seed = torch.Generator().manual_seed(1)
        nets.append(learn(Classifier(1, TURNS, seed), turned(x, 256), 60, seed))
    assert torch.equal(features(nets[0], x, 256), features(nets[1], x, 256))
    sideways = torch.rot90(x, 1, (2, 3)).float() * 2 / 255 - 1
    assert (nets[0](sideways).argmax(1) == 1).float().mean() > 0.95
    plain = Classifier(1, TURNS, torch.Generator().manual_seed(1))
    assert (plain(sideways).argmax(1) == 1).float().mean() < 0.8


def test_features_of_labels_know_the_classes():
    """Of digits that it has not seen, by as many steps as the presets give it."""
    data = load("digits")
    (y, test_y), seed = data.labels(), torch.Generator().manual_seed(0)
    batch = labelled(data.train_examples(), y, data.levels)
    net = learn(Classifier(1, 10, seed), batch, Quality().feature_steps, seed)
    said = net(scaled(data.test_examples(None), data.levels)).argmax(1)
    assert (said == test_y).float().mean() > 0.9


def test_without_labels_the_features_are_of_turns():
    x = torch.randint(0, 9, (40, 1, 8, 8), dtype=torch.uint8)
    for labels, name in ((None, "turns"), (torch.arange(40) % 3, "classes")):
        found = spaces(x, labels, 256, Quality(feature_steps=2))
        assert next(iter(found)) == name


def test_texture_sees_noise_of_two_levels():
    rng = np.random.default_rng(6)
    x = np.where(rng.random((50, 1, 9, 9)) < 0.8, 0, rng.integers(0, 256, (50, 1, 9, 9)))
    noisy = (x + rng.integers(-2, 3, x.shape)).clip(0, 255)
    a, b = (texture(v / 255) for v in (x, noisy))
    assert a[:, 2].mean() - b[:, 2].mean() > 0.25  # the share of black
    assert np.abs(a[:, 0] - b[:, 0]).max() < 0.01  # but not the mean


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tiny = {"channels": 8, "multipliers": [1, 2], "blocks": 1, "groups": 4}
    config = load_config({"preset": "demo", "experiments": {"digits": {"network": tiny}}})
    run = run_of(config, "digits", "debias-True", 0)
    found = Trained(run, load("digits"))
    for k in (0, 1, 2, 4):
        weights = found.network.state_dict()
        found.snapshots.append(write_snapshot(tmp_path_factory.mktemp("w"), k, weights, (1, 8, 8)))
    return found


def test_a_run_has_every_measure(model):
    settings = Quality(count=40, real=60, steps=4, feature_steps=3, checkpoints=2)
    found = measure(model, settings).outputs
    assert [row["iteration"] for row in found["out"]] == sorted([2, 4] * (len(found["out"]) // 2))
    rows = {(row["space"], row["measure"]): row for row in found["out"]}
    real = rows["texture", "kernel_of_real"]
    assert abs(real["value"]) < 4 * real["std_err"]  # training images have the test images' law
    assert {space for space, _ in rows} == {"classes", "random", "texture", "components", "pixels"}
    assert {row["samples"] for row in rows.values()} == {40}
    assert {row["real"] for row in rows.values()} == {60}
    assert all(np.isfinite([row["value"], row["std_err"]]).all() for row in rows.values())
    assert rows["classes", "classifier"]["value"] > 0.3  # of 0.5: it is not trained
    assert found["features"]["features"].shape[0] == 40


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [(30, 10, "20 test images"), (10, 30, "20 training images"), (0, 30, "training images")],
)
def test_too_few_images_are_refused(model, train, test, words, rng):
    x = torch.randint(0, 17, (60, 1, 8, 8), generator=rng).to(torch.uint8)
    small = Trained(model.run, Images(x[: train or 30] * bool(train), x[:test], 17))
    with pytest.raises(VdiffError, match=words):
        measure(small, Quality(count=20, steps=2))


def test_spaces_are_the_same_for_every_arm(model):
    images: Images = model.data
    first, second = (
        spaces(images.train, images.train_labels, images.levels, Quality(feature_steps=2))
        for _ in range(2)
    )
    x = images.test_examples(20)
    for name, space in first.items():
        assert np.array_equal(space(x), second[name](x))


def test_errors_of_the_contrast_cover_though_both_share_the_real_images():
    """Jackknife errors of two kernel distances to the same images; the truth is from 20 times the
    sample. 95% intervals over 200 repeats cover 93% or more, of arms that are alike in the way that
    they are off and of arms that are not."""
    rng, n, d = np.random.default_rng(4), 100, 6
    for off in ([1.5, 0, 0], [1.8, 0, 0]), ([1.5, 0, 0], [0, 1.5, 0]), ([1.5, 0, 0], [-1.5, 0, 0]):

        def found(n, off=off):
            real = rng.standard_normal((n, d))
            sides = [rng.standard_normal((n, d)) + np.pad(shift, (0, 3)) for shift in off]
            return quality.kernel_contrast(*np.ravel([
                quality.kernel_distance(x, real) for x in sides
            ]))  # fmt: skip

        truth = np.mean([found(20 * n)[0] for _ in range(2)])
        each = np.array([found(n) for _ in range(200)])
        assert np.mean(np.abs(each[:, 0] - truth) < 1.96 * each[:, 1]) >= 0.93


def test_nothing_is_compared_where_both_are_as_good_as_real():
    assert np.isnan(quality.kernel_contrast(0.01, 0.02, 0.02, 0.02)).all()
    assert quality.kernel_contrast(3.0, 0.1, 1.0, 0.1)[0] == 0.5
