"""What a data set on disk holds, computed without torch: part of the identity of results."""

import gzip
import hashlib
import zlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vdiff.errors import VdiffError, first_line
from vdiff.files.located import file_of
from vdiff.files.own import read_own

OFFICIAL = {  # SHA-256 (MNIST) and MD5 (CIFAR-10, as torchvision lists them) of the known files
    "mnist": {
        "MNIST/raw/train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "MNIST/raw/t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "MNIST/raw/train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "MNIST/raw/t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    "cifar10": {
        "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
    },
}
EMBEDDED = {"digits": ["data/digits.csv.gz"], "photos": ["images/china.jpg", "images/flower.jpg"]}


class Fingerprint(NamedTuple):
    """images: checksums of the training and the test images, empty for data that are drawn afresh;
    labels: of their classes, None where there are none."""

    images: dict[str, str]
    labels: str | None


def fingerprint(dataset: str, root: Path) -> Fingerprint:
    """What the set holds, however it is stored.

    A torchvision set that is not there yet is the official one, which its download is checked to
    be. Raises VdiffError when a user's file cannot be read.
    """
    if dataset.startswith("npz:"):
        return of_arrays(file_of(dataset, root))
    if dataset in OFFICIAL:
        return _both(_of_official(dataset, root))
    if dataset in EMBEDDED:
        spec = find_spec("sklearn")  # of the package itself, which does not import it
        folder = Path((spec and spec.origin) or "").parent / "datasets"
        return _both(_together(_digest(folder / name, "sha256") for name in EMBEDDED[dataset]))
    return Fingerprint({}, None)


def not_official(dataset: str, root: Path) -> list[str]:
    """A sentence where the files of an official set are others than those known by its name."""
    if dataset not in OFFICIAL or _of_official(dataset, root) == "published":
        return []
    return [
        f"The files of {dataset} under {root} are not the official ones: numbers on them are of "
        "other data than that name says."
    ]


def of_arrays(path: Path) -> Fingerprint:
    """Of the content of a user's NPZ file: neither its compression nor its labels are images.
    Raises VdiffError for a file that no step could use."""
    arrays = read_own(path).arrays
    levels = arrays.get("levels", "none")
    images = {part: _of_array(arrays[f"{part}_x"], levels) for part in ("train", "test")}
    given = [arrays[name] for name in ("train_y", "test_y") if name in arrays]
    return Fingerprint(images, _together(map(_of_array, given)) if given else None)


def _of_array(x: np.ndarray, *facts: object) -> str:
    """A digest of an array's values, shape and type, and of other facts."""
    content = np.ascontiguousarray(x)
    digest = hashlib.sha256(f"{content.dtype.str} {content.shape} {facts}".encode())
    digest.update(content.tobytes())
    return digest.hexdigest()


def _both(digest: str) -> Fingerprint:
    """Of a set whose training and test images come together."""
    return Fingerprint({"train": digest, "test": digest}, digest)


def _of_official(dataset: str, root: Path) -> str:
    known = OFFICIAL[dataset]
    there = [root / name for name in known]
    packed = [path.with_name(f"{path.name}.gz") for path in there]
    files = [path if path.is_file() else other for path, other in zip(there, packed, strict=True)]
    if not all(path.is_file() for path in files):
        return "published"
    kind = "sha256" if dataset == "mnist" else "md5"
    digests = {name: _digest(path, kind) for name, path in zip(known, files, strict=True)}
    return "published" if digests == known else _together(digests.values())


def _digest(path: Path, kind: str) -> str:
    if path.name.endswith("-ubyte.gz"):
        return hashlib.new(kind, unpacked(path)).hexdigest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest()
    except OSError as error:
        raise VdiffError(f"The data file {path} cannot be read: {error.strerror}.") from None


def unpacked(path: Path) -> bytes:
    """The content of a .gz file; raises VdiffError for one that is damaged."""
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise VdiffError(
            f"{path} cannot be unpacked ({first_line(error)}); fetch it again."
        ) from None


def _together(digests: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()
