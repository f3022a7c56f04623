"""Readers of the data sets, one per set: (data root, real) to the set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vdiff.data.images import Images
from vdiff.data.points import Points
from vdiff.errors import VdiffError, first_line, needed
from vdiff.files.atomic import write_bytes
from vdiff.files.fingerprint import OFFICIAL, unpacked
from vdiff.files.own import read_own
from vdiff.machine.seeds import generator


def _swissroll(root: Path, real: bool) -> Points:
    with needed():
        from sklearn import config_context
        from sklearn.datasets import make_swiss_roll

    def sample(n: int, rng: torch.Generator) -> Tensor:
        state = int(torch.randint(2**31, (1,), generator=rng))
        # To check the names and types of its arguments takes a third of a batch's time.
        with config_context(skip_parameter_validation=True):
            x, _ = make_swiss_roll(n, noise=0.5, random_state=state)
        return torch.from_numpy(x[:, [0, 2]] / 5).float()

    return Points(sample)


def _digits(root: Path, real: bool) -> Images:
    with needed():
        from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.from_numpy(digits.images.astype(np.uint8))[:, None]
    order = torch.randperm(len(x), generator=generator("digits split"))
    x, y = x[order], torch.from_numpy(digits.target.astype(np.int64))[order]
    return Images(x[:1500], x[1500:], 17, real, y[:1500], y[1500:])


def _photos(root: Path, real: bool) -> Images:
    """32x32 crops, every 4 pixels, of half-size photographs; the right quarter is for testing."""
    with needed():
        from sklearn.datasets import load_sample_images

    train: list[Tensor] = []
    test: list[Tensor] = []
    for photo in load_sample_images().images:
        h, w = photo.shape[0] // 2 * 2, photo.shape[1] // 2 * 2
        small = photo[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).astype(np.float64).mean((1, 3))
        small = torch.from_numpy(np.rint(small).astype(np.uint8)).permute(2, 0, 1)
        border = small.shape[2] * 3 // 4
        for part, crops, stride in (
            (small[..., :border], train, 4),
            (small[..., border:], test, 8),
        ):
            windows = part.unfold(1, 32, stride).unfold(2, 32, stride)  # (3, h, w, 32, 32)
            crops.append(windows.permute(1, 2, 0, 3, 4).reshape(-1, 3, 32, 32))
    sets = (torch.cat(train), torch.cat(test))
    # Shuffled, so that the first images already show both photographs.
    train_x, test_x = (x[torch.randperm(len(x), generator=generator("photos"))] for x in sets)
    return Images(train_x, test_x, real=real)


def _torchvision(kind: str) -> Callable[[Path, bool], Images]:
    def read(root: Path, real: bool) -> Images:
        with needed():
            from torchvision import datasets

            from vdiff.config import DATASETS
        parts = []
        for train in (True, False):
            try:
                part = _stored_or_downloaded(getattr(datasets, kind), str(root), train)
            except VdiffError:
                raise
            except PermissionError as error:
                raise VdiffError(
                    f"The data root {root} cannot be read or written ({error.strerror}); "
                    "give another one by data_root."
                ) from None
            except OSError as error:
                raise VdiffError(
                    f"{kind} is not under the data root {root} and could not be downloaded "
                    f"({first_line(error)}); fetch it elsewhere and give its folder by data_root."
                ) from None
            except Exception as error:  # a damaged file can make the parser raise anything
                raise VdiffError(
                    f"The files of {kind} under {root} are damaged ({first_line(error)}); "
                    "delete them and fetch them again."
                ) from None
            x = torch.as_tensor(part.data)
            x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
            shape = DATASETS[kind.lower()]
            if x.shape[1:] != shape or x.dtype != torch.uint8:
                raise VdiffError(
                    f"The files of {kind} under {root} hold {x.dtype} images of shape "
                    f"{tuple(x.shape[1:])}, not torch.uint8 of {shape}; fetch them again."
                )
            y = torch.as_tensor(part.targets).long()
            if len(y) != len(x):
                raise VdiffError(
                    f"The files of {kind} under {root} hold {len(x)} images and {len(y)} labels; "
                    "fetch them again."
                )
            parts.append((x.contiguous(), y))
        (x, y), (test_x, test_y) = parts
        return Images(x, test_x, 256, real, y, test_y)

    return read


def _stored_or_downloaded(kind, root: str, train: bool):
    """The set as torchvision reads it, downloaded if absent, which it checks by MD5; packed files,
    of which it takes none but those that it would download, are unpacked."""
    for name in OFFICIAL[kind.__name__.lower()]:
        path, packed = Path(root, name), Path(root, f"{name}.gz")
        if packed.is_file() and not path.is_file():
            write_bytes(path, unpacked(packed))
    try:
        return kind(root, train=train)
    except RuntimeError as absent:
        if "not found" not in str(absent):
            raise
    try:
        return kind(root, train=train, download=True)
    except RuntimeError as error:
        raise OSError(str(error)) from None


def npz(path: Path, real: bool) -> Images:
    """The images of a user's NPZ file, `files/own.py`."""
    own = read_own(path)
    train, test = map(torch.from_numpy, own.images)
    labels = map(torch.from_numpy, own.labels or ())
    return Images(train, test, own.levels, real, next(labels, None), next(labels, None), True)


TEST_SIZES = {"mnist": 10_000, "cifar10": 10_000}
"""The sets that are not embedded: how many test examples they have, known without their files."""

REGISTRY: dict[str, Callable[[Path, bool], Points | Images]] = {
    "swissroll": _swissroll,
    "digits": _digits,
    "photos": _photos,
    "mnist": _torchvision("MNIST"),
    "cifar10": _torchvision("CIFAR10"),
}
