"""What changes a result: the import closure of a step, and which rules follow an edit."""

import re

import pytest
from support.pipeline import ROOT, copy_code, snakemake

from vdiff.config.specs import SPECS
from vdiff.files import codehash
from vdiff.files.codehash import LEFT_OUT, closure


def test_a_closure_holds_what_is_imported_at_any_depth_and_by_name():
    found = closure("steps.sample")
    assert {"steps.sample", "diffusion.samplers.heun", "diffusion.sdes.cosine"} <= set(found)
    assert {"stats.uncertainty", "diffusion.control"} <= set(closure("steps.evaluate"))
    assert "diffusion.samplers" not in closure("training.loop")
    assert not [name for step in SPECS for name in closure(f"steps.{step}") if "figures" in name]
    for out in LEFT_OUT:
        assert out not in found


def test_comments_docstrings_and_layout_change_no_hash(tmp_path):
    texts = ['"""A."""\nx = 1  # why\n', '"""B."""\n\n\nx = (1)\n', '"""B."""\nx = 2\n']
    found = []
    for k, text in enumerate(texts):
        (tmp_path / f"{k}.py").write_text(text)
        found.append(codehash._read(tmp_path / f"{k}.py").text)
    assert found[0] == found[1] != found[2]


CODE = {f"steps.{name}": {name} for name in SPECS} | {
    "training.loop": {"train"},
    "stats.aggregate": {"difference", "curves"},
    "stats.controls": {"claims"},
    "files.tidy": {"gather"},
    "report.page": {"report_page"},
}


def expected(module: str) -> set[str]:
    """The rules with the module in their closure; what lies downstream follows anyway."""
    return {rule for start, rules in CODE.items() for rule in rules if module in closure(start)}


def unfit(output: str) -> set[str]:
    """The rules with jobs that a dry run wants to run for the mark, not for their inputs."""
    jobs = re.findall(r"^(?:local)?rule (\w+):\n((?: .*\n)+)", output, re.M)
    return {rule for rule, text in jobs if re.search(r"reason: .*/\.made/asked", text)}


def edited(folder, module):
    """The rules whose results a dry run finds not to fit, after an edit of a function."""
    copy_code(folder)
    path = folder / "vdiff" / f"{module.replace('.', '/')}.py"
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    path.write_text(f"{path.read_text()}\n\ndef added_by_a_test():\n    return 1\n")
    return unfit(snakemake(folder, "-n"))


# One of each kind: mathematics of training, of evaluation alone, of sampling alone; statistics,
# files, machine; steps; and what is left out.
@pytest.mark.parametrize(
    "module",
    [
        "diffusion.dsm", "diffusion.control", "diffusion.samplers.multistep", "stats.uncertainty",
        "files.checkpoint", "machine.seeds", "steps.likelihood", "machine.progress", "config.run",
    ],
)  # fmt: skip
def test_editing_a_module_runs_the_rules_that_import_it(finished_copy, module):
    rules = {r for r in edited(finished_copy, module) if not r.startswith(("figure_", "notebook"))}
    assert rules == expected(module)


def test_editing_a_figure_remakes_that_figure(finished_copy):
    assert edited(finished_copy, "figures.loss") == {"figure_loss"}


def test_editing_what_figures_share_remakes_those(finished_copy):
    drawn = {"figure_samples", "figure_sampling", "figure_lambda"}
    assert edited(finished_copy, "figures.samples") == drawn


def test_every_module_of_the_package_is_in_a_closure_or_left_out_for_a_reason():
    """No module that could change a number is forgotten, as lists by hand were."""
    names = {
        str(p.relative_to(ROOT / "vdiff").with_suffix("")).replace("/", ".")
        for p in (ROOT / "vdiff").rglob("*.py")
    }
    names = {n.removesuffix(".__init__") for n in names if n not in ("__init__", "__main__")}
    known = {m for start in CODE for m in closure(start)}
    talks = ("config", "errors", "cli", "figures", "report", "presets", "resources")
    rest = {n for n in names - known if n.split(".")[0] not in talks}
    assert rest == {
        "machine.progress", "data.remarks",  # they only talk
        "files.schemas", "files.crate", "files.manifest", "files.snapshots", "files.codehash",
        "files.pipeline", "files.provenance", "files.asked", "training.job", "machine.forked",
        "machine.forkserver", "machine.energy",
        "steps.monitor", "steps.opening", "planning", "planning.costs", "planning.memory",
        # for Python, beside the pipeline
        "loading", "likelihood.bound", "likelihood.conditions", "likelihood.diagnosis",
        "likelihood.model", "likelihood.network", "likelihood.result", "likelihood.scan",
        "likelihood.wrap", "likelihood.chain", "likelihood.classify", "likelihood.gradient",
        "likelihood.latent", "likelihood.vdm", "diffusion.chain",
        "diffusion.decoders", "diffusion.ending", "stats.few",
        *(f"adapters.{p.stem}" for p in (ROOT / "vdiff/adapters").glob("[a-z]*.py")), "adapters",
        "scoring", "scoring.chunks", "scoring.fits", "scoring.data", "scoring.model",
        "scoring.out", "scoring.rows",
        "stats.outliers", "pretrained", "record",
        "nets.authors",  # weights of others, imported by hand
    }  # fmt: skip
