"""A user's own images: what an NPZ file of a data set must hold. Knows no torch, so that the
pipeline can refuse a file before anything runs."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from vdiff.errors import VdiffError
from vdiff.files.tidy import read_npz

MOST_CLASSES = 1000
FEW_LEVELS, DARK = 16, 128  # images with no more levels, or none as bright, may not be 8-bit ones
NAMES = ("train", "test")


class Own(NamedTuple):
    """arrays: the file's, as they are; images: of training and test, (N, C, H, W) uint8 with grey
    levels 0..levels-1; labels: (N,) int64 of either, or None for both."""

    arrays: dict[str, np.ndarray]
    images: list[np.ndarray]
    levels: int
    labels: list[np.ndarray] | None


def read_own(path: Path) -> Own:
    """The arrays train_x and test_x, and train_y and test_y and levels if it holds them; levels is
    256 unless it does. Raises VdiffError for a file that does not fit."""
    arrays = read_npz(path, "train_x", "test_x")
    levels = _levels(path, arrays)
    images = [_images(path, f"{name}_x", arrays[f"{name}_x"], levels) for name in NAMES]
    if images[0].shape[1:] != images[1].shape[1:]:
        shapes = " and ".join(str(x.shape[1:]) for x in images)
        raise VdiffError(
            f"train_x and test_x in {path} have image shapes {shapes}; make them equal."
        )
    labels = _labels(path, arrays, *map(len, images))
    if "levels" not in arrays:
        _check_grey(path, images)
    return Own(arrays, images, levels, labels)


def _levels(path: Path, arrays: dict[str, np.ndarray]) -> int:
    """The number of grey levels, 256 unless the file says."""
    given = arrays.get("levels", np.array(256))
    if given.size != 1 or not np.issubdtype(given.dtype, np.integer):
        raise VdiffError(f"levels in {path} must be one whole number between 2 and 256.")
    return int(given.reshape(()))


def _check_grey(path: Path, images: list[np.ndarray]) -> None:
    """Raise VdiffError for images that look as if they had fewer levels than 256, such as binary
    ones: their bits/dim would be of another quantity."""
    # bincount makes int64 of its input: in parts, to bound memory.
    parts = [p for x in images for p in np.array_split(x, 1 + len(x) // 4096)]
    (greys,) = np.nonzero(np.sum([np.bincount(p.ravel(), minlength=256) for p in parts], 0))
    if len(greys) <= FEW_LEVELS or greys[-1] < DARK:
        raise VdiffError(
            f"The images in {path} have {len(greys)} different grey levels, at most "
            f"{greys[-1]}; say how many there can be by an entry levels, such as "
            f"{2 if len(greys) == 2 else greys[-1] + 1} for levels counted from 0 or 256."
        )


def _labels(path: Path, arrays: dict[str, np.ndarray], *sizes: int) -> list[np.ndarray] | None:
    """The labels of a user's training and test images, or None for both."""
    names = [f"{name}_y" for name in NAMES]
    there = [name for name in names if name in arrays]
    if not there:
        return None
    if len(there) == 1:
        other = names[names[0] == there[0]]
        raise VdiffError(f"{path} has {there[0]} but no {other}; give both or neither.")
    for name, n in zip(names, sizes, strict=True):
        y = arrays[name]
        whole = np.issubdtype(y.dtype, np.integer) and y.shape == (n,)
        if not whole or y.min() < 0 or y.max() >= MOST_CLASSES:
            raise VdiffError(
                f"{name} in {path} is {y.dtype} of shape {y.shape}; it must be {n} whole numbers "
                f"from 0 to {MOST_CLASSES - 1}, a class for each image."
            )
    return [arrays[name].astype(np.int64) for name in names]


def _images(path: Path, name: str, x: np.ndarray, levels: int) -> np.ndarray:
    """A user's array as (N, C, H, W)."""
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or x.size == 0:
        raise VdiffError(
            f"{name} in {path} is {x.dtype} of shape {x.shape}; it must be a non-empty uint8 "
            "array (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1 or 3."
        )
    if not 2 <= levels <= 256 or x.max() >= levels:
        raise VdiffError(
            f"{name} in {path} reaches grey level {x.max()} with levels {levels}; levels must "
            "be between 2 and 256 and above every grey level."
        )
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.shape[1] not in (1, 3):
        raise VdiffError(f"{name} in {path} has {x.shape[1]} channels; it must have 1 or 3.")
    return np.ascontiguousarray(x)
