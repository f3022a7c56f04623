"""A page in a headless browser."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def opened(page: Path, folder: Path) -> tuple[str, str]:
    """The page's DOM after a browser has shown it, and what it logged; skips without one."""
    probe = """<script>window.onerror = e => { document.title = "error " + e; };
    window.onload = () => { document.body.dataset.broken =
      [...document.images].filter(i => !i.complete || !i.naturalWidth).length;
      document.body.dataset.images = document.images.length; };</script></body>"""
    probed = folder / "probe.html"
    probed.write_text(page.read_text().replace("</body>", probe))
    done = _shown(probed, folder, 5000, "--enable-logging=stderr")
    return done.stdout, done.stderr


def violations(page: Path, folder: Path) -> list[str]:
    """What axe finds wrong with a page, `rule (impact): element`; skips without axe or browser."""
    axe = pytest.importorskip("axe_core_python", reason="needs axe-core-python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text()
    # Selectors of all elements, which nobody reads, would take half of the time.
    run = """const few = {selectors: false, resultTypes: ["violations"]};
    window.addEventListener("load", () => axe.run(few).then(found => {
      document.body.dataset.axe = JSON.stringify(found.violations.flatMap(v =>
        v.nodes.map(n => `${v.id} (${v.impact}): ${n.html.slice(0, 120)}`))); }));"""
    probed = page.with_name(f"axe-{page.name}")
    text = page.read_text()
    probed.write_text(
        text.replace("</body>", f"<script>{script}</script><script>{run}</script></body>")
    )
    try:
        done = _shown(probed, folder, 20_000)
    finally:
        probed.unlink()
    found = re.search(r'data-axe="(.*?)"', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


def _shown(page: Path, folder: Path, budget: int, *flags: str) -> subprocess.CompletedProcess[str]:
    """The DOM of a page after a budget of milliseconds; skips without a browser."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium, which is not installed")
    profile = f"--user-data-dir={folder / 'profile'}"
    return subprocess.run(
        [browser, *FLAGS, *flags, profile, f"--virtual-time-budget={budget}", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
