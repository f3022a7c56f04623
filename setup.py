"""The wheel carries the pipeline and the weights, which in a checkout lie beside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = ["Snakefile", "environment.yml"]
FOLDERS = ["workflow", "notebooks"]


class WithPipeline(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        pipeline = Path(self.build_lib) / "vdiff" / "pipeline"
        pipeline.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copy(name, pipeline / name)
        hidden = shutil.ignore_patterns(".*")
        for name in FOLDERS:
            shutil.copytree(name, pipeline / name, dirs_exist_ok=True, ignore=hidden)
        weights = Path("results/reference/pretrained")
        if weights.is_dir():
            shutil.copytree(weights, pipeline / "pretrained", dirs_exist_ok=True)
        links = pipeline / "profiles"  # where Snakemake looks for the default profile
        shutil.copytree(pipeline / "workflow" / "profiles", links, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithPipeline})
