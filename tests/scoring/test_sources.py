"""Where the examples of `vdiff score` come from: files, folders of images, sets, batches."""

import numpy as np
import pytest
import torch
from PIL import Image

import vdiff
from vdiff.errors import VdiffError
from vdiff.scoring import score
from vdiff.scoring.data import parts_of


def model_of(shape, **keys):
    return vdiff.wrap(
        lambda y, s: -y, schedule="vp", predicts="score", data=shape, check=False, **keys
    )


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder of three colour images, one of them in a folder of its own, and their array."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set" / "c").mkdir(parents=True)
    for name, array in zip(("a.png", "b.PNG", "c/d.png"), x, strict=True):
        Image.fromarray(array).save(tmp_path / "set" / name)
    (tmp_path / "set" / "notes.txt").write_text("no image")
    (tmp_path / "set" / "._a.png").write_text("of another system")
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def test_a_folder_of_images_is_its_array(images):
    model = model_of((3, 4, 5))
    found = score(model, "set", draws=4)
    assert list(found["file"]) == ["set/a.png", "set/b.PNG", "set/c/d.png"]
    np.save("x.npy", images)
    np.savez("x.npz", x=images)
    for same in ("x.npy", "x.npz", images, [torch.tensor(images[:2]), torch.tensor(images[2:])]):
        other = score(model, same, draws=4)
        assert np.array_equal(other["log_prob"], found["log_prob"])
        assert list(other["example"]) == [0, 1, 2]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png"])
def test_grey_images_have_one_channel(tmp_path, suffix):
    Image.new("L", (4, 3), 100).save(tmp_path / f"a{suffix}")
    (part,) = parts_of(tmp_path, tmp_path)
    assert part.x.shape == (1, 1, 3, 4)
    assert (part.x == 100).all()


@pytest.mark.parametrize(
    ("kind", "size", "shape", "said"),
    [
        ("RGB", (4, 4), (3, 4, 5), "set/e.png is 4x4 of mode RGB, set/a.png is 5x4 of mode RGB"),
        ("L", (5, 4), (3, 4, 5), "set/e.png is 5x4 of mode L, set/a.png is 5x4 of mode RGB"),
        ("RGBA", (5, 4), (3, 4, 5), "set/e.png is an image of mode RGBA; it must be L .grey. or"),
        ("P", (5, 4), (3, 4, 5), "set/e.png is an image of mode P"),
        ("I;16", (5, 4), (3, 4, 5), "set/e.png is an image of mode I;16"),
        (None, None, (3, 4, 5), "set/e.png cannot be read as an image"),
        ("RGB", (5, 4), (1, 4, 5), r"set/a.png: .* it must be .* of shape \(N, 1, 4, 5\)"),
        ("RGB", (5, 4), (3, 8, 8), r"set/a.png: .* it must be .* of shape \(N, 3, 8, 8\)"),
    ],
)
def test_images_that_do_not_fit_are_named(images, tmp_path, kind, size, shape, said):
    path = tmp_path / "set" / "e.png"
    if kind is None:
        path.write_bytes(b"damaged")
    else:
        Image.new(kind, size).save(path)
    with pytest.raises(VdiffError, match=said):
        score(model_of(shape), "set", draws=4)


def test_the_one_image_with_too_many_levels_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, grey in (("a", 16), ("b", 17), ("c", 2)):
        Image.new("L", (4, 4), grey).save(f"{name}.png")
    with pytest.raises(VdiffError, match=r"b\.png: x has the grey level 17; the levels are 0"):
        score(model_of((1, 4, 4), levels=17), ".", draws=4)


def test_a_set_by_name_is_its_test_images_and_its_training_images_for_a_fit(tmp_path):
    from vdiff.data import load

    digits = load("digits")
    (test,), (train,) = parts_of("digits", tmp_path), parts_of("digits", tmp_path, train=True)
    assert torch.equal(test.x, digits.test)
    assert torch.equal(test.labels, digits.test_labels)
    assert torch.equal(train.x, digits.train)
    assert torch.equal(train.labels, digits.train_labels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_of_either_byte_order_are_the_same(tmp_path, order):
    x = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    np.save(tmp_path / "x.npy", x.astype(f"{order}f4"))
    assert np.array_equal(parts_of(tmp_path / "x.npy", tmp_path)[0].x, x)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (3, "data is a int"),
        ([], "data has no batches"),
        ([torch.zeros(2, 2), torch.zeros(2, 3)], "the batches are .* and .*; they must be of one"),
        ([torch.zeros(2, 2), torch.zeros(2, 2).double()], "they must be of one kind"),
        ([(torch.zeros(2, 2), torch.zeros(2)), torch.zeros(2, 2)], "some have none"),
        ([(torch.zeros(2, 2), torch.zeros(3))], "3 labels y for 2 examples"),
        ([{"x": torch.zeros(2, 2)}], "must be an array x or a pair"),
        ([torch.zeros(2, 2), "a.npz"], "must be an array x or a pair"),
        (np.array(["a"]), "it must hold numbers"),
        (np.array(3.0), "is a single number"),
        (torch.zeros(0, 2), "x is empty"),
        (torch.full((2, 2), torch.nan), "not finite"),
        (torch.zeros(2, 2, dtype=torch.int64), "it must be real numbers"),
        ("nowhere", "nowhere cannot be read"),
    ],
)
def test_what_are_no_examples_is_one_sentence(data, said):
    with pytest.raises(VdiffError, match=said):
        score(model_of((2,)), data, draws=4)


def test_a_folder_of_diffusers_takes_labels_range_and_levels(tmp_path, monkeypatch):
    """A network for classes: with the labels of the data it has numbers, of the range given."""
    diffusers = pytest.importorskip("diffusers", reason="the extra models is not installed")
    from click.testing import CliRunner

    from vdiff.cli import main

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, num_class_embeds=10,
        block_out_channels=(8, 8), norm_num_groups=4, down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    unet.save_pretrained("mine/unet")
    diffusers.DDPMScheduler().save_pretrained("mine/scheduler")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 17, (6, 1, 8, 8), dtype=np.uint8), np.arange(6)
    np.savez("x.npz", x=x, y=y)
    words = ["score", "--model", "mine", "--data", "x.npz", "--draws", "2", "--out", "s.csv"]
    words += ["--levels", "17", "--labels"]
    found = []
    for more in ((), ("--range", "0", "1")):
        said = CliRunner().invoke(main, [*words, *more])
        assert said.exit_code == 0, said.output
        found.append((tmp_path / "s.csv").read_bytes())
    assert found[0] != found[1]
    said = CliRunner().invoke(main, words[:-1])
    assert said.exit_code == 1
    assert "mine: " in said.output
