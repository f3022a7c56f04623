"""The site's pages that live elsewhere, links out of it, and formulas as MathML."""

import posixpath
import re
from html import unescape
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Pages of the site to the files that they are, beside docs/.
ELSEWHERE = {
    "index.md": "README.md",
    "results.md": "results/README.md",
    "benchmarks.md": "benchmarks/README.md",
    "changes.md": "CHANGELOG.md",
}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
PICTURE = re.compile(r'((?:src|srcset)=")([^":#]+)(")')


def on_files(files, config):
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links of the repository become links of the site; what it has no page for becomes text."""
    here = page.file.src_uri
    folder = posixpath.dirname(ELSEWHERE.get(here, f"docs/{here}"))
    pages = {source: name for name, source in ELSEWHERE.items()}
    pages["notebooks/swissroll.ipynb"] = "tutorial.ipynb"  # a link in the file system

    def there(target):
        """The site's file for a path of the repository, or None."""
        path = posixpath.normpath(posixpath.join(folder, target))
        name = pages.get(path, path.removeprefix("docs/"))
        return name if name in files.src_uris else None

    def link(match):
        text, target = match.groups()
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return match[0]
        name = there(path)
        return text if name is None else f"[{text}]({name}{'#' + anchor if anchor else ''})"

    def picture(match):
        return match[1] + (there(match[2]) or match[2]) + match[3]

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.S | re.M)  # every second one is code
    parts[::2] = (PICTURE.sub(picture, LINK.sub(link, part)) for part in parts[::2])
    return "".join(parts)


def on_page_content(html, page, config, files):
    def formula(match):
        display = "block" if match[1] == "div" else "inline"
        return convert(unescape(match[2])[2:-2], display=display)

    return re.sub(r'<(div|span) class="arithmatex">(.*?)</\1>', formula, html, flags=re.S)
