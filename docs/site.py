"""The documentation site: gathers its pages in build/docs, builds it with Zensical, and turns its
formulas into MathML.

python docs/site.py
"""

import posixpath
import re
import shutil
import subprocess
import sys
from html import unescape
from itertools import count
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
STAGE, SITE = ROOT / "build" / "docs", ROOT / "site"
NOTEBOOK = "notebooks/swissroll.ipynb"
# Pages of the site to the files of the repository that they are, beside docs/.
ELSEWHERE = {
    "index.md": "README.md",
    "results.md": "results/README.md",
    "benchmarks.md": "benchmarks/README.md",
    "changes.md": "CHANGELOG.md",
    "tutorial.md": NOTEBOOK,
}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
PICTURE = re.compile(r'((?:src|srcset)=")([^":#]+)(")')
FORMULA = re.compile(r'<(div|span) class="arithmatex">(.*?)</\1>', re.S)
SHIM = re.compile(r'<script src="https://unpkg[^>]*></script>')  # extra.js does the same here
CONTENTS = re.compile(r'(<nav class="md-nav" aria-label=")([^"]*)')


def gather() -> None:
    """All pages and pictures in the stage, with links as the site has them."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "gallery", STAGE / "gallery")
    own = (ROOT / "docs").glob
    for file in [*own("*.png"), *own("extra.*")]:
        shutil.copy(file, STAGE)
    found = [*own("*.md"), *own("models/*.md")]
    sources = {path.relative_to(ROOT / "docs").as_posix(): path for path in found}
    sources = {name: path.relative_to(ROOT).as_posix() for name, path in sources.items()}
    sources |= ELSEWHERE
    pages = {source: name for name, source in sources.items()}
    for name, source in sources.items():
        text = notebook() if source == NOTEBOOK else (ROOT / source).read_text()
        (STAGE / name).parent.mkdir(exist_ok=True)
        (STAGE / name).write_text(linked(text, source, name, pages))


def notebook() -> str:
    """The tutorial as Markdown, its pictures beside it."""
    content = nbformat.read(ROOT / NOTEBOOK, as_version=4)
    text, resources = MarkdownExporter().from_notebook_node(content)
    for name, data in resources["outputs"].items():
        (STAGE / name).write_bytes(data)
    return text


def linked(text: str, source: str, name: str, pages: dict[str, str]) -> str:
    """Links of the repository, in a source that is that page of the site, become links of the site;
    what it has no page for becomes text."""

    def there(target: str) -> str | None:
        """The site's file for a path of the repository, from the page."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        inside = path.removeprefix("docs/")
        found = pages.get(path) or (inside if (STAGE / inside).is_file() else None)
        return found and posixpath.relpath(found, posixpath.dirname(name) or ".")

    def link(match: re.Match) -> str:
        text, target = match.groups()
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return match[0]
        name = there(path)
        return text if name is None else f"[{text}]({name}{'#' + anchor if anchor else ''})"

    def picture(match: re.Match) -> str:
        return match[1] + (there(match[2]) or match[2]) + match[3]

    parts = re.split(r"(^```.*?^```)", text, flags=re.S | re.M)  # every second one is code
    parts[::2] = (PICTURE.sub(picture, LINK.sub(link, part)) for part in parts[::2])
    return "".join(parts)


def build() -> None:
    """The site, in site/; ends the program if Zensical warns of anything."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode or "warning" in said.lower():
        sys.exit(said)
    for page in SITE.rglob("*.html"):
        page.write_text(FORMULA.sub(mathml, numbered(SHIM.sub("", page.read_text()))))


def numbered(page: str) -> str:
    """No two parts of a page's contents have one name, for those who hear it."""
    number = count(1)
    return CONTENTS.sub(lambda match: f"{match[1]}{match[2]}, part {next(number)}", page)


def mathml(match: re.Match) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(unescape(match[2])[2:-2], display=display)


if __name__ == "__main__":
    gather()
    build()
