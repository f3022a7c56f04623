import hashlib

import numpy as np
import pytest
import torch
from support.pipeline import ROOT

from benchmarks.recipes import held_out
from vdiff.config import DATASETS
from vdiff.data import load
from vdiff.data.images import Images
from vdiff.data.readers import REGISTRY
from vdiff.errors import VdiffError
from vdiff.steps.evaluate import examples_of


def test_swissroll_is_fresh_and_follows_its_generator():
    data = load("swissroll")
    x, again, other = (data.sample(5000, torch.Generator().manual_seed(k)) for k in (0, 0, 1))
    assert x.shape == (5000, 2)
    assert torch.equal(x, again)
    assert not torch.equal(x, other)
    # Angle t in [1.5 pi, 4.5 pi], radius t / 5, noise 0.5 / 5 on both axes.
    r = x.double().square().sum(1).mean().item()
    t2 = ((4.5 * np.pi) ** 3 - (1.5 * np.pi) ** 3) / (9 * np.pi)
    assert r == pytest.approx(t2 / 25 + 2 * 0.01, rel=0.03)


def test_digits_have_17_levels_and_no_image_twice():
    data = load("digits")
    assert (data.levels, data.shape) == (17, (1, 8, 8))
    assert (data.train.min(), data.train.max()) == (0, 16)
    assert (len(data.train), len(data.test)) == (1500, 297)
    both = torch.cat([data.train, data.test]).flatten(1)
    assert len(torch.unique(both, dim=0)) == len(both)


def test_photos_are_rgb_crops_of_disjoint_regions():
    data = load("photos")
    assert (data.levels, data.shape) == (256, (3, 32, 32))
    train = {x.numpy().tobytes() for x in data.train}
    assert not any(x.numpy().tobytes() in train for x in data.test)


def test_mnist_from_an_existing_root(shared):
    data = load("mnist", shared / "data")
    assert (tuple(data.train.shape), tuple(data.test.shape)) == (
        (60000, 1, 28, 28),
        (10000, 1, 28, 28),
    )
    assert data.levels == 256


def test_a_missing_set_without_network_is_one_sentence(tmp_path, monkeypatch):
    from torchvision import datasets

    def offline(*args, **kwargs):
        raise RuntimeError("no network")

    monkeypatch.setattr(datasets.MNIST, "download", offline)
    with pytest.raises(VdiffError, match=r"MNIST is not under the data root .*data_root\.$"):
        load("mnist", tmp_path)


def test_an_unknown_set_names_the_known_ones():
    with pytest.raises(VdiffError, match="'svhn'; it must be one of swissroll, digits"):
        load("svhn")


def save(path, **arrays):
    np.savez(path, **arrays)
    return f"npz:{path}"


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 8, 8, 3), (6, 3, 8, 8)])
def test_a_users_own_arrays(tmp_path, shape):
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = load(save(tmp_path / "own.npz", train_x=x, test_x=x[:2]))
    assert data.shape == (1 if len(shape) == 3 else 3, 8, 8)
    assert len(data.test) == 2


def test_labels_follow_their_images(tmp_path):
    from sklearn.datasets import load_digits

    digits, data = load_digits(), load("digits")
    known = {
        x.astype(np.uint8).tobytes(): y for x, y in zip(digits.images, digits.target, strict=True)
    }
    for images, labels in zip((data.train, data.test), data.labels(), strict=True):
        assert [known[x.numpy().tobytes()] for x in images] == labels.tolist()
    x = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    arrays = {"train_x": x, "test_x": x[:2], "train_y": np.arange(4), "test_y": np.arange(2)}
    train, test = load(save(tmp_path / "own.npz", **arrays)).labels()
    assert (train.tolist(), test.tolist()) == ([0, 1, 2, 3], [0, 1])
    assert load("photos").labels() is None
    assert load("swissroll").labels() is None


OK = np.zeros((4, 8, 8), np.uint8)
Y = np.arange(4)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"train_x": OK}, "lacks the array test_x"),
        ({"train_x": OK.astype(float), "test_x": OK}, "train_x .* float64"),
        ({"train_x": OK, "test_x": OK[:0]}, "test_x .* non-empty"),
        ({"train_x": OK, "test_x": OK[:, :4]}, "make them equal"),
        ({"train_x": OK + 9, "test_x": OK, "levels": 5}, "grey level 9 with levels 5"),
        ({"train_x": OK, "test_x": OK, "levels": 300}, "between 2 and 256"),
        ({"train_x": OK, "test_x": OK, "train_y": Y}, "train_y but no test_y"),
        ({"train_x": OK, "test_x": OK, "test_y": Y}, "test_y but no train_y"),
        ({"train_x": OK, "test_x": OK, "train_y": Y, "test_y": Y[:3]}, "test_y .* 4 whole numbers"),
        ({"train_x": OK, "test_x": OK, "train_y": Y / 2, "test_y": Y}, "train_y .* float64"),
        ({"train_x": OK, "test_x": OK, "train_y": Y - 1, "test_y": Y}, "from 0 to 999"),
        ({"train_x": OK, "test_x": OK, "train_y": Y, "test_y": Y + 999}, "from 0 to 999"),
        (
            {
                "train_x": OK,
                "test_x": OK,
                "train_y": np.uint64(2**63) + Y.astype("u8"),
                "test_y": Y,
            },
            "from 0 to 999",
        ),
    ],
)
def test_unfit_arrays_are_refused(tmp_path, arrays, words):
    with pytest.raises(VdiffError, match=words):
        load(save(tmp_path / "own.npz", **arrays))


def test_a_truncated_file_is_refused(tmp_path):
    save(tmp_path / "own.npz", train_x=OK, test_x=OK)
    content = (tmp_path / "own.npz").read_bytes()
    (tmp_path / "own.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(VdiffError, match="cannot be read"):
        load(f"npz:{tmp_path / 'own.npz'}")


def test_the_registry_has_what_a_configuration_may_name():
    assert tuple(REGISTRY) == tuple(DATASETS)


def test_some_of_a_users_test_images_are_evenly_spread(tmp_path):
    """Case 20: of images in the order of their classes, each class has its share; of the sets that
    come along, whose order is random, the first are taken, as the kept tables have them."""
    y = np.arange(10).repeat(7)
    x = np.broadcast_to(y.astype(np.uint8)[:, None, None], (70, 4, 4))
    place = save(tmp_path / "own.npz", train_x=x[:9], test_x=x, levels=10)
    own, digits = load(place), load("digits")
    for n in (2, 10, 20, 69):
        taken = examples_of(own, n)[:, 0, 0, 0]
        assert len(taken) == n
        assert np.ptp(np.bincount(taken, minlength=10)) <= 1
    for n in (None, 70, 100):
        assert torch.equal(examples_of(own, n), own.test)
    assert torch.equal(examples_of(digits, 20), digits.test[:20])


def test_held_out_images_are_no_training_images_and_no_test_images():
    """Every training image is in exactly one of both, with its label; the test set has no part."""
    train = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1)
    data = Images(train, train + 100, train_labels=torch.arange(10), test_labels=torch.arange(10))
    held = held_out(data, 3)
    assert held.test.flatten().tolist() == held.test_labels.tolist() == [0, 3, 6]
    assert held.train.flatten().tolist() == held.train_labels.tolist() == [1, 2, 4, 5, 7, 8, 9]
    for n in (0, 10):
        with pytest.raises(VdiffError, match="from 1 to 9"):
            held_out(data, n)


@pytest.mark.parametrize(
    ("name", "begins"),
    [("npz:{}/cifar10_subset.npz", "ab0f30374b21e0d6"), ("mnist", "115c5a4e0a578a02")],
)
def test_the_protocol_of_records_names_its_validation_images(shared, name, begins):
    data = shared / "data"
    held = held_out(load(name.format(data), data), 512).test
    assert hashlib.sha256(held.contiguous().numpy().tobytes()).hexdigest().startswith(begins)
    assert begins in (ROOT / "docs/record.md").read_text()
