"""A page in a headless browser."""

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
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium, which is not installed")
    probe = """<script>window.onerror = e => { document.title = "error " + e; };
    window.onload = () => { document.body.dataset.broken =
      [...document.images].filter(i => !i.complete || !i.naturalWidth).length;
      document.body.dataset.images = document.images.length; };</script></body>"""
    probed = folder / "probe.html"
    probed.write_text(page.read_text().replace("</body>", probe))
    done = subprocess.run(
        [browser, *FLAGS, "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
         "--virtual-time-budget=5000", "--dump-dom", probed.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout, done.stderr
