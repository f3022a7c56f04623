"""The documentation site: gathers its pages in build/docs, builds it with Zensical, and turns its
formulas into MathML. Ends with an error where a page refers to a file that is not there.

python docs/site.py
"""

import posixpath
import re
import shutil
import subprocess
import sys
import unicodedata
from html import unescape
from itertools import count
from pathlib import Path
from urllib.parse import unquote

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
REFERENCE = re.compile(r'\s(?:href|src|srcset|data)="([^"#?]+)')
# What MathML Core, and so Chromium, does not know: letters of other alphabets by an attribute, and
# spaces around what is no operator.
LETTER = re.compile(r'<mi mathvariant="(double-struck|script)">([A-Z])</mi>')
NAME = re.compile(r"<mi>([a-z]{2,})</mi>(<mo[^>]*>&#x00028;)?")
SIGN = re.compile(r"<mi>(\W|&#x02016;|&#x0007E;)</mi>")
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
    if lost := missing():
        sys.exit("\n".join(lost))


def missing() -> list[str]:
    """A line for each file that a page refers to and that is not in the site."""
    found = []
    for page in sorted(SITE.rglob("*.html")):
        for path in sorted(set(REFERENCE.findall(page.read_text()))):
            inside = (
                SITE / path[1:] if path.startswith("/") else page.parent / unquote(unescape(path))
            )
            if not re.match(r"[a-z]+:|//", path) and not inside.is_file():
                found.append(f"{page.relative_to(SITE)} refers to {path}, which is not there.")
    return found


def numbered(page: str) -> str:
    """No two parts of a page's contents have one name, for those who hear it."""
    number = count(1)
    return CONTENTS.sub(lambda match: f"{match[1]}{match[2]}, part {next(number)}", page)


def mathml(match: re.Match) -> str:
    display = "block" if match[1] == "div" else "inline"
    text = convert(unescape(match[2])[2:-2], display=display)
    return SIGN.sub(sign, NAME.sub(name, LETTER.sub(letter, text)))


def letter(match: re.Match) -> str:
    """As Unicode has it: the older ones, such as \u211d, are not called mathematical."""
    name = f"{match[1].upper()} CAPITAL {match[2]}"
    try:
        return f"<mi>{unicodedata.lookup(f'MATHEMATICAL {name}')}</mi>"
    except KeyError:
        return f"<mi>{unicodedata.lookup(name)}</mi>"


def name(match: re.Match) -> str:
    """A function such as log, with thin spaces beside it, but none before a bracket."""
    right = "0" if match[2] else "0.167em"
    return f'<mo lspace="0.167em" rspace="{right}">{match[1]}</mo>{match[2] or ""}'


def sign(match: re.Match) -> str:
    """A relation or separator, which has spaces of its own; a tilde is the relation."""
    return f"<mo>{match[1].replace('&#x0007E;', '&#x0223C;')}</mo>"


if __name__ == "__main__":
    gather()
    build()
