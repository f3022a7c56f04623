"""A results folder as an RO-Crate (https://w3id.org/ro/crate): the files, and what made them."""

import mimetypes
from pathlib import Path

from rocrate.model.contextentity import ContextEntity
from rocrate.model.file import File
from rocrate.rocrate import ROCrate

from vdiff.errors import VdiffError
from vdiff.files.atomic import write_bytes
from vdiff.files.manifest import sha256
from vdiff.files.tidy import read_json

PAPER = "https://arxiv.org/abs/2106.02808"
LICENCE = "https://spdx.org/licenses/MIT"
EXTRA = ("manifest.json", "report.html")  # made from the files that the manifest lists


def export(folder: Path, out: Path) -> int:
    """Write the crate as the ZIP file `out`; returns its number of files.

    folder needs the manifest.json of a finished run. Raises VdiffError when it is absent, a
    listed file is missing or changed, or out cannot be written.
    """
    manifest = read_json(folder / "manifest.json")
    _check(folder, manifest)
    crate = ROCrate()
    crate.name = f"vdiff results: {folder.name}"
    crate.description = (
        "Figures, tables and verdicts on the claims of 'A Variational Perspective on "
        "Diffusion-Based Generative Models and Score Matching', as vdiff measured them."
    )
    crate.license = _add(crate, LICENCE, "CreativeWork", name="MIT licence")
    crate.root_dataset["datePublished"] = manifest["made"]
    paper = _add(crate, PAPER, "ScholarlyArticle", name="arXiv 2106.02808")
    version = manifest["vdiff"]
    software = _add(
        crate,
        "#vdiff",
        "SoftwareApplication",
        name="vdiff",
        version=version["version"],
        identifier=version["commit"] or "no commit",
    )
    listed = (folder / name for name in (*manifest["results"], *EXTRA))
    files = [_add_file(crate, folder, path) for path in sorted(listed) if path.is_file()]
    run = _add(crate, "#run", "CreateAction", name="snakemake", endTime=manifest["made"])
    run["instrument"], run["object"], run["result"] = software, paper, files
    crate.root_dataset["mentions"] = run
    write_bytes(out, b"".join(crate.stream_zip()))
    return len(files)


def _check(folder: Path, manifest: dict) -> None:
    """Raise VdiffError unless every file is there and as the manifest has it."""
    for name, made in manifest["results"].items():
        path = folder / name
        if not path.is_file() or sha256(path) != made["sha256"]:
            raise VdiffError(
                f"{path} is not as the manifest has it; run snakemake again before exporting."
            )


def _add(crate: ROCrate, id_: str, kind: str, **properties: str) -> ContextEntity:
    return crate.add(ContextEntity(crate, id_, {"@type": kind, **properties}))


def _add_file(crate: ROCrate, folder: Path, path: Path) -> File:
    properties = {
        "encodingFormat": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "contentSize": path.stat().st_size,
    }
    return crate.add_file(path, str(path.relative_to(folder)), properties=properties)
