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


@pytest.mark.slow
def test_no_module_imports_itself_in_a_circle():
    """Every module can be the first to be imported."""
    names = [str(p.relative_to(ROOT).with_suffix("")).replace("/", ".") for p in FILES]
    names = [n.removesuffix(".__init__") for n in names if not n.endswith("__main__")]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for known in [m for m in sys.modules if m.startswith('vdiff')]:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", code, *names], check=True, cwd=ROOT)


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
