"""What images may be that they do not seem, in sentences: mistakes that change what bits/dim mean.

None is an error: a set may be so on purpose. Repeats below one in a thousand are left alone, as
official sets have a few.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from vdiff.likelihood.noise import digests

FEW = 1e-3  # of the images


def remarks(sets: Mapping[str, Tensor]) -> list[str]:
    """Of whole sets by their names."""
    both = Remarks()
    for name, x in sets.items():
        both.add(name, x)
    return both.said()


class Remarks:
    """Of several sets of examples, in the order in which they are added."""

    def __init__(self) -> None:
        self._sets: dict[str, _Set] = {}

    def add(self, name: str, x: Tensor, digested: Sequence[bytes] | None = None) -> None:
        """Examples (N, ...) of the set of that name, all of it or a part; images are (N, C, H, W).
        The name is as in `test images`. digested: their digests, where they are known."""
        own, digested = (
            self._sets.setdefault(name, _Set()),
            digests(x) if digested is None else digested,
        )
        for other, earlier in self._sets.items():
            if earlier is not own:
                own.shared[other] += sum(digest in earlier.known for digest in digested)
        own.repeated += len(digested) - len(set(digested) - own.known)
        own.known |= set(digested)
        own.n += len(x)
        if x.ndim == 4:
            flat = x.flatten(1)
            own.constant += int((flat == flat[:, :1]).all(1).sum())
            own.grey += int((x == x[:, :1]).flatten(1).all(1).sum()) if x.shape[1] == 3 else 0

    def said(self) -> list[str]:
        """The sentences."""
        sentences = []
        for name, own in self._sets.items():
            if own.n and own.grey == own.n:
                sentences.append(
                    f"All {name} have three equal colours: they look like grey ones stored as RGB, "
                    "of which each value is counted three times."
                )
            of = f"of {own.n} {name}"
            counts = {
                f"are {other} too: what is measured on them says little of others": n
                for other, n in own.shared.items()
            }
            counts["repeat an earlier one"] = own.repeated
            counts["have one grey level throughout"] = own.constant
            sentences += [f"{n} {of} {what}." for what, n in counts.items() if n > FEW * own.n]
        return sentences


class _Set:
    """How many examples there are, are grey in RGB, of one grey level, repeat an earlier one, and
    are in each earlier set; known: their digests."""

    def __init__(self) -> None:
        self.n = self.grey = self.constant = self.repeated = 0
        self.shared: Counter[str] = Counter()
        self.known: set[bytes] = set()
