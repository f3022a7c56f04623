"""What images may be that they do not seem, in sentences: mistakes that change what bits/dim mean.

None is an error: a set may be so on purpose. Repeats below one in a thousand are left alone, as
published sets have a few.
"""

from torch import Tensor

from vdiff.likelihood.noise import digests

FEW = 1e-3  # of the images


def remarks(train: Tensor, test: Tensor) -> list[str]:
    """Of training and test images (N, C, H, W) uint8."""
    said = []
    if train.shape[1] == 3 and bool((train == train[:, :1]).all()):
        said.append(
            "All training images have three equal colours: they look like grey ones stored as RGB, "
            "of which each value is counted three times."
        )
    seen, own = digests(train), digests(test)
    known = set(seen)
    shared = sum(digest in known for digest in own)
    if shared > FEW * len(own):
        said.append(
            f"{shared} of {len(own)} test images are training images: what is measured on them "
            "says little of others."
        )
    for name, x, found in (("training", train, seen), ("test", test, own)):
        many = len(found) - len(set(found))
        if many > FEW * len(found):
            said.append(f"{many} of {len(found)} {name} images repeat an earlier one.")
        flat = x.flatten(1)
        constant = int((flat == flat[:, :1]).all(1).sum())
        if constant > FEW * len(found):
            said.append(f"{constant} of {len(found)} {name} images have one grey level throughout.")
    return said
