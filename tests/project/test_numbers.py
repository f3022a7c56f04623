"""Every number of the documents is bound: altered, it fails this test.

A number has a point, a unit or at least two digits, and stands outside of code, formulas, links and
headings. It is bound

- in a text that is made from kept tables (support.said);
- as a size that a preset or a kept table has ("512 test images"), as a published value, or
  by one of the exceptions below;
- by results/reference/numbers.csv, which has what is left, in its order, for each section and row
  of a table: what measured it or which definition it is, and the commits that brought it. Of a row
  that names a kept table each result is looked up there.

`pytest -n 0 -s tests/project/test_numbers.py` prints how many are bound by what, and, as lines that
begin with + or -, what is bound to nothing and what numbers.csv has in vain.
"""

import difflib
import re
from collections import Counter
from functools import cache
from typing import NamedTuple

import pandas as pd
import pytest
import yaml
from support.pipeline import ROOT
from support.said import REFERENCE, kept, said

from vdiff.report.page import MINUS
from vdiff.resources import published_curves, published_values

PAGES = ["README.md"] + [
    str(path.relative_to(ROOT))
    for path in (*sorted((ROOT / "docs").glob("*.md")), *sorted(REFERENCE.glob("*/README.md")))
    if path.stem not in {"configuration", "extending"}
]  # of which the first is made from the code and the second is code, with tests of their own
NUMBER = re.compile(
    r"(?<![\w.,^/])[\u2212+-]?\d[\d,]*(?:\.\d+)?(?:\s?[·\u00d7]\s?10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?(?![\w²³⁻])"
)
UNIT = re.compile(
    r"\s?(%|GB|GiB|MB|GFLOP|hours?|minutes?|seconds?|min|ms|s|nats|bits/dim|core-|times)(?!\w)"
)
SIZE = re.compile(
    r"(?:\s|-)(?:\w+\s){0,2}?(?:images?|iterations?|steps?|passes|channels|draws?|points|seeds?|samples"
    r"|examples|layers|probes|batch|levels|groups|checkpoints|evaluations|digits|times|blocks"
    r"|permutations|resamples|test|training|bins|λ)\b"
)
NOT = (  # no numbers of a document
    r"```.*?```", r"\$\$.*?\$\$", r"\$[^$\n]+\$", r"`[^`\n]*`", r"\]\([^)\s]*\)",
    r"<[a-zA-Z/!][^>]*>", r"^#+ [^\n]*$", r"^\|[-:| ]+\|$", r"arXiv\s\d{4}\.\d{5}",
    r"\b\d{4}\.\d{5}\b", r"CIFAR-10", r"\b(?=\d*[a-f])[0-9a-f]{7,16}\b", r"\d+\u00d7\d+",
    r"\d+\.\d+\.\d+", r"(?:19|20)\d\d\b",
)  # fmt: skip
EXCEPTIONS = (  # page, what stands there, why it is bound to nothing
    ("", r"\b(95|80|5)%(?! off)", "a level of tests and intervals"),
    ("", r"± 1\.96", "the quantile of 95%"),
    ("", r"Python 3\.\d+", "a version"),
    ("", r"λ (?:=|from|of)? ?[\u2212\d., and]+", "a member of the family"),
)


class Number(NamedTuple):
    page: str
    section: str
    row: str  # the first cell with letters of a row of a table
    said: str
    start: int
    end: int

    @property
    def key(self) -> tuple[str, str, str]:
        return self.page, self.section, self.row

    @property
    def plain(self) -> str:
        return self.said.replace(",", "").replace(MINUS, "-").lstrip("+")


def blanked(text: str) -> str:
    for pattern in NOT:
        blank = lambda m: re.sub(r"[^\n|]", "_", m[0])  # noqa: E731
        text = re.sub(pattern, blank, text, flags=re.S | re.M)
    return text


def numbers(page: str, text: str) -> list[Number]:
    clean = blanked(text)
    code = re.sub(r"```.*?```", lambda m: " " * len(m[0]), text, flags=re.S)
    heads = [(m.start(), m[1]) for m in re.finditer(r"^#+ (.+)$", code, re.M)]
    found = []
    for m in NUMBER.finditer(clean):
        value = m[0].rstrip(",")
        end = m.start() + len(value)
        if len(value.strip(f"{MINUS}+-")) == 1 and not UNIT.match(clean, end):
            continue
        section = ([""] + [name for at, name in heads if at <= m.start()])[-1]
        line = text[text.rfind("\n", 0, end) + 1 : text.find("\n", end)]
        cells = [c.strip() for c in line.strip("| ").split("|")] if line.startswith("|") else []
        row = ", ".join(cells[:2]) if cells else ""
        found.append(Number(page, section, row, value, m.start(), end))
    return found


@cache
def sizes() -> set[int]:
    """Whole numbers of two digits and more that presets have, and those by which tables count."""

    def whole(value):
        if isinstance(value, dict):
            return set().union(*map(whole, value.values()))
        if isinstance(value, list):
            return set().union(*map(whole, value))
        return {value} if isinstance(value, int) and not isinstance(value, bool) else set()

    presets = (ROOT / "vdiff" / "presets").glob("*.yaml")
    found = set().union(*(whole(yaml.safe_load(path.read_text())) for path in presets))
    counted = ("iteration", "images", "examples", "passes", "samples", "draws", "steps", "setting")
    for path in REFERENCE.glob("*/*.csv"):
        frame = pd.read_csv(path)
        for column in set(counted) & set(frame.columns):
            found |= {int(v) for v in frame[column].dropna() if v == int(v)}
    return found


@cache
def published() -> set[str]:
    values = [*published_values("cifar10")["bpd"], *published_values("mnist")["bpd"]]
    assert len(published_curves())
    return {f"{value:.{digits}f}" for value in values for digits in (2, 3)}


@cache
def register() -> pd.DataFrame:
    return pd.read_csv(REFERENCE / "numbers.csv", dtype=str, keep_default_na=False)


def bound(page: str, text: str) -> tuple[dict[Number, str], list[Number]]:
    """By what each number is bound, and those that numbers.csv has to have."""
    spans = []
    for known in said().get(page, []):
        pattern = r"\s+".join(map(re.escape, known.split()))
        spans += [(*m.span(), "made from tables") for m in re.finditer(pattern, text)]
    for name, pattern, why in EXCEPTIONS:
        if page.startswith(name):
            spans += [(*m.span(), f"exception: {why}") for m in re.finditer(pattern, text)]
    clean, by, left = blanked(text), {}, []
    for n in numbers(page, text):
        inside = [why for start, end, why in spans if start <= n.start and n.end <= end]
        if inside:
            by[n] = inside[0]
        elif (
            re.fullmatch(r"\d\d+", n.plain) and int(n.plain) in sizes() and SIZE.match(clean, n.end)
        ):
            by[n] = "a size"
        elif n.plain in published():
            by[n] = "published"
        else:
            left.append(n)
    return by, left


def unbound(page: str, text: str) -> list[str]:
    """What numbers.csv lacks of the page, and what it has that the page lacks."""
    by_key: dict[tuple, list[str]] = {}
    for n in bound(page, text)[1]:
        by_key.setdefault(n.key, []).append(n.plain)
    rows = register()[register()["page"] == page]
    known = {(r.page, r.section, r.row): r.numbers.split(" ") for r in rows.itertuples()}
    return [
        f"{line[0]} {' | '.join(key)}: {line[2:]}"
        for key in {**by_key, **known}
        for line in difflib.ndiff(known.get(key, []), by_key.get(key, []))
        if line[0] in "+-"
    ]


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("page", sorted(said()))
def test_a_page_says_what_the_kept_tables_say(page):
    text = flat((ROOT / page).read_text())
    missing = [known for known in said()[page] if flat(known) not in text]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("page", PAGES)
def test_no_number_is_unbound(page):
    text = (ROOT / page).read_text()
    by, left = bound(page, text)
    print(
        page, *(f"{count} {why}" for why, count in Counter(by.values()).items()), sep="; ", end=""
    )
    print(f"; {len(left)} in numbers.csv")
    loose = unbound(page, text)
    assert not loose, "\n".join(loose)


def test_every_row_of_the_register_has_a_source_and_a_page():
    """A commit, too, unless it is of a definition; and what a kept table is named for is in it."""
    rows = register()
    assert not rows.duplicated(["page", "section", "row"]).any()
    assert set(rows["page"]) <= {*PAGES, "docs/article/article.typ"}
    for row in rows.itertuples():
        assert row.source, row
        assert row.source.startswith(("definition", "published")) or row.commits, row
        if not row.source.startswith("recipes/"):
            continue
        known = kept(row.source.split(".csv")[0])["bpd"]
        for value in re.findall(r"(?<!\S)\d\.\d{3}(?!\S)", row.numbers):
            assert (known - float(value)).abs().min() < 0.000501, row


def altered(said: str) -> str:
    """By one unit in its last digit."""
    at = max(k for k, letter in enumerate(said) if letter in "0123456789")
    return said[:at] + str((int(said[at]) + 1) % 10) + said[at + 1 :]


@pytest.mark.slow
def test_altered_numbers_are_found():
    """By the tests above: nearly every one. What is missed is a size that becomes another, or a
    number of an exception."""
    found, missed = Counter(), Counter()
    for page in PAGES:
        text = (ROOT / page).read_text()
        by, left = bound(page, text)
        every = [
            *((n, why.partition(":")[0]) for n, why in by.items()),
            *((n, "left") for n in left),
        ]
        for n, why in sorted(every)[::7]:
            other = text[: n.start] + altered(n.said) + text[n.end :]
            if why == "made from tables":  # that the page must have, with the number as it was
                ok = any(flat(known) not in flat(other) for known in said()[page])
            else:
                ok = bool(unbound(page, other))
            (found if ok else missed)[why] += 1
    share = found.total() / (found.total() + missed.total())
    print(
        f"{share:.1%} of {found.total() + missed.total()} altered numbers are found", dict(missed)
    )
    assert found["left"] and not missed["left"] and not missed["made from tables"]
    assert share > 0.97
