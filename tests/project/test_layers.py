"""The house: which folder may import which, read off the imports themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support.pipeline import ROOT

LAYERS = (  # each may import itself and what stands before it
    "errors", "diffusion", "nets", "stats", "presets", "config", "files", "machine", "resources",
    "likelihood", "adapters", "data", "trained", "training", "steps", "planning", "pretrained",
    "loading", "scoring", "record", "figures", "report", "cli", "__main__",
)  # fmt: skip
MATHEMATICS = {"torch", "torchdiffeq", "math", "dataclasses", "collections", "abc", "functools"}
MATHEMATICS |= {"importlib", "pkgutil", "itertools", "typing", "vdiff"}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(name: str) -> str:
    """The first part below vdiff."""
    return name.split(".")[1]


FILES = sorted((ROOT / "vdiff").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_to_earlier_layers_only(path):
    own = path.relative_to(ROOT / "vdiff").parts[0].removesuffix(".py")
    if own == "__init__":
        assert not {name for name in imports(path) if name.startswith("vdiff.")}
        return
    for name in imports(path):
        if name.startswith("vdiff."):
            assert LAYERS.index(layer(name)) <= LAYERS.index(own), f"{own} imports {name}"


def test_the_test_would_see_an_import_that_points_the_other_way(tmp_path):
    (tmp_path / "x.py").write_text("def f():\n    from vdiff.training.loop import train\n")
    assert {layer(name) for name in imports(tmp_path / "x.py")} == {"training"}


@pytest.mark.parametrize("path", sorted((ROOT / "vdiff/diffusion").rglob("*.py")), ids=str)
def test_the_mathematics_imports_torch_alone(path):
    assert {name.split(".")[0] for name in imports(path)} <= MATHEMATICS


FIRST = """
import builtins, importlib, sys

def asked(caller, name, words=()):
    "Say so where what the caller imports waits for the caller itself."
    for word in words or [None]:
        wanted = f"{name}.{word}" if f"{name}.{word}" in names else name
        parts = wanted.split(".")
        for k in range(len(parts)):
            whole = ".".join(parts[: k + 1])
            if whole != wanted and f"{caller}.".startswith(f"{whole}."):
                continue  # a package that the caller is in, so its own start came before
            module = sys.modules.get(whole) if whole in names else None
            if module and caller in names and module.__spec__._initializing:
                sys.exit(f"{caller} imports {whole}, which imports it")
    return name

def importing(name, globals=None, locals=None, fromlist=(), level=0):
    asked((globals or {}).get("__name__", ""), name, fromlist)
    return statement(name, globals, locals, fromlist, level)

def by_function(name, package=None):
    return function(asked(sys._getframe(1).f_globals["__name__"], name), package)

names = sys.argv[1:]
statement, builtins.__import__ = builtins.__import__, importing
function, importlib.import_module = importlib.import_module, by_function
for name in names:
    function(name)
"""


def in_circles(names, root):
    """What a process says that imports the modules, each once; empty where none waits for itself.

    A module that asks for one whose own import is under way closes a circle, and every circle is
    closed by one of its modules, whichever of them comes first.
    """
    command = [sys.executable, "-c", FIRST, *names]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


@pytest.mark.slow
def test_no_module_imports_itself_in_a_circle():
    """So every module can be the first to be imported."""
    names = [str(p.relative_to(ROOT).with_suffix("")).replace("/", ".") for p in FILES]
    names = [n.removesuffix(".__init__") for n in names if not n.endswith("__main__")]
    assert in_circles(names, ROOT) == ""


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": "x = 1\nfrom p.b import y", "b": "from p.a import x\ny = 1"}, "p.b imports p.a,"),
        ({"a": "x = 1\nimport p.b", "b": "from p import c", "c": "import p.a"}, "p.c imports p.a,"),
        ({"a/__init__": "import p.c", "a/b": "", "c": "import p.a.b"}, "p.c imports p.a,"),
        ({"a": "x = 1\nfrom importlib import import_module\nimport_module('p.b')",
          "b": "from p.a import x"}, "p.b imports p.a,"),
        ({"a/__init__": "from p.a.b import y", "a/b": "from p.a import c\ny = 1", "a/c": ""}, ""),
        ({"a": "def f():\n    from p.b import y", "b": "from p.a import f\ny = 1"}, ""),
    ],
)  # fmt: skip
def test_a_circle_is_seen_from_each_of_its_modules(tmp_path, files, said):
    """Though Python, which begins with p.a here, imports all of them; and no circle in a package
    of which one part imports another, nor in what a function imports when it is called."""
    for name, text in {"__init__": "", **files}.items():
        path = tmp_path / "p" / f"{name}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    names = ["p", *(f"p.{name}".replace("/", ".").removesuffix(".__init__") for name in files)]
    code = f"import importlib\nfor name in {names}:\n    importlib.import_module(name)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0
    found, other = (in_circles(order, tmp_path) for order in (names, names[::-1]))
    assert found.startswith(said) and bool(found) == bool(said)
    assert ("which imports it" in other) == bool(said)


def test_the_command_line_starts_without_torch():
    code = "import sys, vdiff.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_root_of_the_package_has_no_other_modules():
    names = {p.name for p in (ROOT / "vdiff").glob("*.py")}
    assert names == {
        "__init__.py",
        "__main__.py",
        "errors.py",
        "loading.py",
        "pretrained.py",
        "record.py",
        "trained.py",
    }
