"""Which code changes a result: the modules that a step imports, and those that they import.

The pipeline hands these hashes to its rules, so that editing a figure never trains again. Two
texts that differ in comments, docstrings or layout alone hash alike. The data files of a package
belong to it.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
LEFT_OUT = ("config", "errors", "machine.progress", "files.schemas")
"""What has no part in a number: its values reach a step as arguments, or it only talks."""


@cache
def code_hash(*modules: str) -> str:
    """Twelve hexadecimal digits over the import closure of modules such as "training.loop"."""
    digest = hashlib.sha256()
    for name in closure(*modules):
        digest.update(f"{name}\n{_text(_file(name))}\n".encode())
        for path in _data(name):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def closure(*modules: str) -> list[str]:
    """The modules of vdiff that these import, themselves included, without LEFT_OUT, sorted."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or any(name == out or name.startswith(f"{out}.") for out in LEFT_OUT):
            continue
        found.add(name)
        waiting += _imports(name)
    return sorted(found)


@cache
def _file(name: str) -> Path:
    """The file of a module; "" is the package itself."""
    path = PACKAGE.joinpath(*name.split(".")) if name else PACKAGE
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _data(name: str) -> list[Path]:
    """The data files of a package, such as templates and tables; a module has none."""
    folder = _file(name).parent
    if _file(name).name != "__init__.py":
        return []
    inner = {path.parent for path in folder.rglob("__init__.py")} - {folder}
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    return sorted(p for p in files if not inner & set(p.parents))


@cache
def _imports(name: str) -> list[str]:
    """The modules of vdiff that one imports, at its top or in a function.

    A package that imports its modules by name at run time stands for all of them.
    """
    found = []
    for node in ast.walk(_tree(_file(name))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and node.attr == "import_module":
            found += [f"vdiff.{name}.{path.stem}" for path in _file(name).parent.glob("*.py")]
    inside = [m.removeprefix("vdiff.") for m in found if m.startswith("vdiff.")]
    inside = [m.removesuffix(".__init__") for m in inside]
    parents = [m.rsplit(".", k)[0] for m in inside for k in range(1, m.count(".") + 1)]
    return [m for m in [*inside, *parents] if _file(m).is_file()]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _text(path: Path) -> str:
    """A module's code without comments, docstrings and layout."""
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return _canonical(tree)


def _canonical(node: object) -> str:
    """A syntax tree as a text that no version of Python writes otherwise.

    Fields that are empty are left out, for newer versions have more of them; so is what depends on
    the layout. Adjacent constants of an f-string are one, as older versions have them.

    >>> _canonical(ast.parse("f'{x!r}' + 'a' 'b'")) == _canonical(ast.parse('f"{x!r}" + "ab"'))
    True
    """
    if isinstance(node, ast.JoinedStr):
        parts: list[object] = []
        for part in node.values:
            if isinstance(part, ast.Constant) and parts and isinstance(parts[-1], ast.Constant):
                parts[-1] = ast.Constant(str(parts[-1].value) + str(part.value))
            else:
                parts.append(part)
        return f"JoinedStr({_canonical(parts)})"
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name != "kind")
        kept = (f"{n}={_canonical(v)}" for n, v in fields if v is not None and v != [])
        return f"{type(node).__name__}({', '.join(kept)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_canonical, node))}]"
    return repr(node)
