"""Which code changes a result: the modules that a step imports, and those that they import.

The pipeline hands these hashes to its rules, so that editing a figure never trains again. Two
texts that differ in comments, docstrings or layout alone hash alike. The data files of a package
belong to it.
"""

import ast
import gc
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
LEFT_OUT = ("config", "errors", "machine.progress", "files.schemas")
"""What has no part in a number: its values reach a step as arguments, or it only talks."""
BY_NAME = "import_module"


@cache
def code_hash(*modules: str) -> str:
    """Twelve hexadecimal digits over the import closure of modules such as "training.loop"."""
    digest = hashlib.sha256()
    for name in closure(*modules):
        digest.update(f"{name}\n{_read(_file(name)).text}\n".encode())
        for path in _data(name):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def closure(*modules: str) -> list[str]:
    """The modules of vdiff that these import, themselves included, without LEFT_OUT, sorted."""
    reached: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in reached or any(name == out or name.startswith(f"{out}.") for out in LEFT_OUT):
            continue
        reached.add(name)
        waiting += _imports(name)
    return sorted(reached)


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
    named: list[str] = []
    for module in _read(_file(name)).imports:
        if module == BY_NAME:
            named += [f"vdiff.{name}.{path.stem}" for path in _file(name).parent.glob("*.py")]
        else:
            named.append(module)
    inside = [m.removeprefix("vdiff.") for m in named if m.startswith("vdiff.")]
    inside = [m.removesuffix(".__init__") for m in inside]
    parents = [m.rsplit(".", k)[0] for m in inside for k in range(1, m.count(".") + 1)]
    return [m for m in [*inside, *parents] if _file(m).is_file()]


class Source(NamedTuple):
    """A module's code without comments, docstrings and layout, and the modules that it names."""

    text: str
    imports: list[str]


@cache
def _read(path: Path) -> Source:
    words: list[str] = []
    imports: list[str] = []
    collected = gc.isenabled()
    gc.disable()  # a tree has no circles, and looking for them takes longer than to read it
    try:
        _canonical(ast.parse(path.read_text()), words.append, imports)
    finally:
        if collected:
            gc.enable()
    return Source("".join(words), imports)


def _canonical(node: object, say: Callable[[str], None], imports: list[str]) -> None:
    """Say a syntax tree in words that no version of Python has otherwise, and note its imports.

    Fields that are empty are left out, for newer versions have more of them; so is what depends on
    the layout. Adjacent constants of an f-string are one, as older versions have them.

    >>> old, new = [], []
    >>> _canonical(ast.parse("f'{x!r}' + 'a' 'b'"), old.append, [])
    >>> _canonical(ast.parse('f"{x!r}" + "ab"'), new.append, [])
    >>> old == new
    True
    """
    if isinstance(node, list):
        say("[")
        for item in node:
            _canonical(item, say, imports)
        say("]")
        return
    if not isinstance(node, ast.AST):
        say(repr(node))
        return
    if isinstance(node, ast.JoinedStr):
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.Constant) and parts and isinstance(parts[-1], ast.Constant):
                parts[-1] = ast.Constant(str(parts[-1].value) + str(part.value))
            else:
                parts.append(part)
        node.values = parts
    elif isinstance(node, ast.Import):
        imports += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    elif isinstance(node, ast.Attribute) and node.attr == BY_NAME:
        imports.append(BY_NAME)
    elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
        node.body = node.body[1:] or [ast.Pass()]
    say(f"{type(node).__name__}(")
    for name in node._fields:
        value = getattr(node, name, None)
        if name != "kind" and value is not None and value != []:
            say(f"{name}=")
            _canonical(value, say, imports)
    say(")")
