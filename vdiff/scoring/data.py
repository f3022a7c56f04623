"""The examples that are scored: files, folders of images, sets by name, arrays and batches."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vdiff.data import load
from vdiff.data.readers import REGISTRY
from vdiff.errors import VdiffError, first_line, needed
from vdiff.files.fingerprint import not_official
from vdiff.files.tidy import read_npz
from vdiff.likelihood.space import Vectors

log = logging.getLogger(__name__)
IMAGES = {".png", ".jpg", ".jpeg"}
MODES = ("L", "RGB")


class Part(NamedTuple):
    """The n examples of one place. name: of the place; rows: those from a first to before an end,
    (B, ...), read where they are asked for; labels: (n, ...) or None; files: of each example its
    own, where they have one."""

    name: str
    n: int
    rows: Callable[[int, int], Tensor]
    labels: Tensor | None = None
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, x: Tensor, labels: Tensor | None = None) -> "Part":
        return cls(name, len(x), lambda first, end: x[first:end], labels)

    @property
    def x(self) -> Tensor:
        """All examples, (n, ...)."""
        return self.rows(0, self.n)

    def who(self) -> list[tuple[str, int]]:
        """(file, number in it) of each example."""
        if self.files:
            return [(file, 0) for file in self.files]
        return [(self.name, k) for k in range(self.n)]

    def fitting(self, space: Vectors) -> Tensor:
        """The examples as that space has them. Raises VdiffError naming the file that does not
        fit."""
        x = self.x
        try:
            return space.examples(x)
        except VdiffError as error:
            for file, row in zip(self.files, x, strict=False):
                try:
                    space.examples(row[None])
                except VdiffError as own:
                    raise VdiffError(f"{file}: {own}") from None
            raise VdiffError(f"{self.name}: {error}") from None


def parts_of(data: Any, root: Path, train: bool = False) -> list[Part]:
    """The parts of what `score` takes: one place or several, an array, or batches. train: of a set
    by name the training examples instead of those for testing. Raises VdiffError for what cannot be
    read, is empty, or is given twice."""
    listed = data if isinstance(data, list | tuple) else []
    several = bool(listed) and all(isinstance(place, str | Path) for place in listed)
    places = list(data) if several else [data]
    real = [p if p in REGISTRY else Path(p).resolve() for p in places if several]
    if len(set(real)) < len(real):
        raise VdiffError("A file of examples is given twice; each may be given once.")
    return [_part(place, root, train) for place in places]


def _part(place: Any, root: Path, train: bool) -> Part:
    if isinstance(place, str | Path):
        part = _read(place, root, train)
    elif isinstance(place, Tensor | np.ndarray):
        part = Part.of("data", _tensor(place, "data: x"))
    elif isinstance(place, Iterable):
        part = _batches(place)
    else:
        raise VdiffError(
            f"data is a {type(place).__name__}; it must be a path, an array, or batches of x or "
            "of (x, y)."
        )
    if part.labels is not None and len(part.labels) != part.n:
        raise VdiffError(
            f"{part.name} has {len(part.labels)} labels y for {part.n} examples; there must be as "
            "many."
        )
    return part


def _read(place: str | Path, root: Path, train: bool) -> Part:
    path, name = Path(place), str(place)
    if name in REGISTRY:
        data = load(name, root)
        for said in not_official(name, root):
            log.warning("%s", said)
        both = data.labels()
        x = data.train_examples() if train else data.test_examples(None)
        return Part.of(name, x, None if both is None else both[0 if train else 1])
    if path.is_dir():
        return _images(path)
    if path.suffix == ".npy":
        return _npy(path, name)
    arrays = read_npz(path, "x")
    labels = _tensor(arrays["y"], f"{path}: y") if "y" in arrays else None
    return Part.of(name, _tensor(arrays["x"], f"{path}: x"), labels)


def real(x: Tensor) -> Tensor:
    """Examples as `Space.examples` has them, whatever the space: whole numbers that grey levels can
    be as uint8, others in float32, or float64 if they are that."""
    if x.is_floating_point():
        return x if x.dtype == torch.float64 else x.float()
    array = x.numpy()
    grey = array.dtype.kind in "iu" and array.size and 0 <= array.min() and array.max() <= 255
    return torch.from_numpy(array.astype(np.uint8)) if grey else x


def _npy(path: Path, name: str) -> Part:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        _tensor(array[:0], f"{path}: x")
    except Exception:  # what cannot be mapped is read at once, or refused there
        return Part.of(name, array_of(path, "x"))
    return Part(name, len(array), lambda first, end: _tensor(array[first:end], f"{path}: x"))


def array_of(path: Path, name: str) -> Tensor:
    """The array of an .npy file, or that of the name in an NPZ file. Raises VdiffError where it
    cannot be read or holds no numbers."""
    if path.suffix != ".npy":
        return _tensor(read_npz(path, name)[name], f"{path}: {name}")
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a damaged file can make the parser raise anything
        raise VdiffError(f"{path} cannot be read as an .npy file: {first_line(error)}.") from None
    return _tensor(array, f"{path}: {name}")


def _tensor(array: Any, called: str) -> Tensor:
    """Numbers of an array, in the byte order of this machine."""
    if isinstance(array, Tensor):
        array = array.detach().cpu()
    elif array.dtype.kind in "biuf":
        array = torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))
    else:
        raise VdiffError(f"{called} is {array.dtype}; it must hold numbers.")
    if not array.ndim:
        raise VdiffError(f"{called} is a single number; it must hold examples.")
    return array


def _images(folder: Path) -> Part:
    """All PNG and JPEG files in a folder and those within it, in the order of their names."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    images = [p for p in files if p.suffix.lower() in IMAGES]
    if not images:
        raise VdiffError(f"The folder {folder} has no images; they must be PNG or JPEG files.")
    if len(images) < len(files):
        log.info(
            "%s: %d files that are no PNG or JPEG are left out.", folder, len(files) - len(images)
        )
    return Part(
        str(folder),
        len(images),
        lambda first, end: _stacked(images[first:end], images[0]),
        files=tuple(map(str, images)),
    )


def _stacked(images: Sequence[Path], like: Path) -> Tensor:
    """Images (B, C, H, W), all of the size and mode of another."""
    rows, alike = [], _image(like)
    for path in images:
        array = _image(path)
        if array.shape != alike.shape:
            raise VdiffError(
                f"{path} is {_kind(array)}, {like} is {_kind(alike)}; all images of a folder must "
                "be alike."
            )
        rows.append(torch.from_numpy(array.copy()))
    x = torch.stack(rows)
    return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()


def _image(path: Path) -> np.ndarray:
    """(H, W) or (H, W, 3) grey levels."""
    with needed():
        from PIL import Image
    try:
        with Image.open(path) as image:
            mode, array = image.mode, np.asarray(image)
    except Exception as error:  # a damaged file can make the parser raise anything
        raise VdiffError(f"{path} cannot be read as an image: {first_line(error)}.") from None
    if mode not in MODES:
        raise VdiffError(f"{path} is an image of mode {mode}; it must be L (grey) or RGB (colour).")
    return array


def _kind(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]} of mode {'L' if array.ndim == 2 else 'RGB'}"


def _batches(batches: Iterable) -> Part:
    """Batches of x or of (x, y), as a DataLoader gives them, one after the other."""
    xs, ys = [], []
    for batch in batches:
        whole = batch if isinstance(batch, list | tuple) else [batch]
        if not 1 <= len(whole) <= 2 or not all(isinstance(v, Tensor | np.ndarray) for v in whole):
            raise VdiffError(
                f"A batch of data is a {type(batch).__name__} of other things; it must be an array "
                "x or a pair of arrays (x, y)."
            )
        x, *y = (_tensor(v, "data: a batch") for v in whole)
        xs.append(x)
        ys += y
    if not xs:
        raise VdiffError("data has no batches; it must have at least one.")
    if ys and len(ys) < len(xs):
        raise VdiffError("Some batches of data have labels and some have none; give all or none.")
    return Part.of(
        "data", joined(xs, "data: the batches"), joined(ys, "data: labels") if ys else None
    )


def joined(parts: Sequence[Tensor], called: str) -> Tensor:
    """One after the other; raises VdiffError unless they are of one dtype and shape."""
    kinds = {(p.dtype, p.shape[1:]) for p in parts}
    if len(kinds) > 1:
        have = " and ".join(
            sorted(f"{kind} of shape (N, {str(list(shape))[1:-1]})" for kind, shape in kinds)
        )
        raise VdiffError(f"{called} are {have}; they must be of one kind.")
    return torch.cat(list(parts))


def conditions_of(parts: Sequence[Part], condition: Any, labels: bool) -> list[Tensor | None]:
    """Of each part what its network is told: a number for all, the rows of an array or of a file
    for all examples in turn, the parts' own labels, or nothing. Whole numbers become int64,
    others float32. Raises VdiffError where there are not as many as examples."""
    sizes = [p.n for p in parts]
    if condition is not None and labels:
        raise VdiffError("Both a condition and labels are given; give one of them.")
    if labels:
        missing = [p.name for p in parts if p.labels is None]
        if missing:
            raise VdiffError(f"{missing[0]} has no labels y for the network; give them in its NPZ.")
        return [_as_condition(p.labels) for p in parts if p.labels is not None]
    if condition is None:
        for part in parts:
            if part.labels is not None:
                log.info("%s has labels, which the network is told only with --labels.", part.name)
        return [None] * len(parts)
    if isinstance(condition, int):
        return [torch.full((n,), condition) for n in sizes]
    if isinstance(condition, str | Path):
        rows, name = array_of(Path(condition), "y"), str(condition)
    else:
        rows, name = _tensor(torch.as_tensor(condition), "condition"), "condition"
    if len(rows) != sum(sizes):
        raise VdiffError(
            f"{name} has {len(rows)} rows for {sum(sizes)} examples; there must be as many."
        )
    return list(_as_condition(rows).split(sizes))


def _as_condition(y: Tensor) -> Tensor:
    return y.float() if y.is_floating_point() else y.long()
