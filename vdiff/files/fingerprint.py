"""What a data set on disk holds, told without torch: part of the identity of what is made of it."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from vdiff.errors import VdiffError

PUBLISHED = {  # SHA-256 (MNIST) and MD5 (CIFAR-10, as torchvision lists them) of the known files
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


def fingerprint(dataset: str, root: Path) -> str | None:
    """A digest of the set's files; None for data that are drawn afresh.

    A torchvision set that is not there yet is the published one, which its download is checked to
    be. Raises VdiffError when a user's file cannot be read.
    """
    if dataset.startswith("npz:"):
        return _digest(Path(dataset.removeprefix("npz:")), "sha256")
    if dataset in PUBLISHED:
        return _of_published(dataset, root)
    if dataset in EMBEDDED:
        spec = find_spec("sklearn")  # of the package itself, which does not import it
        folder = Path((spec and spec.origin) or "").parent / "datasets"
        return _together(_digest(folder / name, "sha256") for name in EMBEDDED[dataset])
    return None


def _of_published(dataset: str, root: Path) -> str:
    known = PUBLISHED[dataset]
    if not all((root / name).is_file() for name in known):
        return "published"
    kind = "sha256" if dataset == "mnist" else "md5"
    found = {name: _digest(root / name, kind) for name in known}
    return "published" if found == known else _together(found.values())


def _digest(path: Path, kind: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest()
    except OSError as error:
        raise VdiffError(f"The data file {path} cannot be read: {error.strerror}.") from None


def _together(digests) -> str:
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()
