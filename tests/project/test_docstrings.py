"""Docstrings of the Python API: a section has every argument, in the order of the signature."""

import tomllib

import pytest
from support.pipeline import ROOT

griffe = pytest.importorskip("griffe", reason="needs the extra docs")

SITE = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["plugins"]["mkdocstrings"]
OPTIONS = SITE["handlers"]["python"]["options"]["docstring_options"]
WRONG = '''
def f(x: int, y: int) -> int:
    """A sum.

    Arguments:
        y: The second.
        x: The first.

    Returns:
        Of both: the sum.
    """
'''


def differing(owner):
    """The paths of what is documented otherwise than it is, in a module and those below."""
    for o in (m for m in owner.members.values() if not m.is_alias):
        if o.is_module or o.is_class:
            yield from differing(o)
        if not (o.is_function or o.is_class) or o.docstring is None:
            continue
        said = {s.kind.value: s.value for s in o.docstring.parse("google", **OPTIONS)}
        stars = {"variadic positional": "*", "variadic keyword": "**"}
        names = {"parameters": [stars.get(p.kind.value, "") + p.name for p in o.parameters]}
        fields = [m for m in o.members.values() if m.is_attribute and "property" not in m.labels]
        names["attributes"] = [m.name for m in fields]
        for kind in names.keys() & said.keys():
            if [part.name for part in said[kind]] != [n for n in names[kind] if n != "self"]:
                yield o.path
        if any(str(r.annotation) != str(o.returns) for r in said.get("returns", [])):
            yield f"{o.path}, returned"


def test_sections_have_every_argument_in_order():
    package = griffe.load("vdiff", search_paths=[ROOT])
    assert list(differing(package)) == []
    adapters = package["adapters"].modules.values()
    entries = [f for m in adapters for f in m.functions.values() if f.name.startswith("from_")]
    entries += [package["loading.load"], package["likelihood.wrap.wrap"]]
    assert len(entries) > 10
    for function in entries:
        kinds = {s.kind.value for s in function.docstring.parse("google", **OPTIONS)}
        assert "parameters" in kinds, function.path


def test_the_test_would_see_another_order_and_a_sentence_taken_for_a_type():
    with griffe.temporary_visited_module(WRONG) as module:
        assert list(differing(module)) == ["module.f", "module.f, returned"]
