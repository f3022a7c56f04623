"""Where the files of a results folder are; paths are relative to it.

The rules of the pipeline have the patterns, whoever reads a folder has the functions.
"""

from collections.abc import Iterator
from typing import NamedTuple

from vdiff.config import Config
from vdiff.config.specs import SPECS
from vdiff.config.specs.spec import Spec
from vdiff.files.schemas import SCHEMAS

RUN = "runs/{experiment}/{arm}/seed-{seed}"
STATE = "state/{experiment}/{arm}/seed-{seed}"
PART = "parts/{experiment}/{arm}/seed-{seed}/part-{part}"
LOG = "logs/{experiment}-{arm}-seed-{seed}"
DIFFERENCE = "runs/{experiment}/differences/{first}/{second}/seed-{seed}.csv"
DIFFERENCE_LOG = "logs/{experiment}-{first}-{second}-seed-{seed}-difference"


class Who(NamedTuple):
    """Names a run."""

    experiment: str
    arm: str
    seed: int

    @property
    def folder(self) -> str:
        return RUN.format(**self._asdict())


class Pair(NamedTuple):
    """Names two runs that are compared, of the same experiment and seed."""

    experiment: str
    first: str
    second: str
    seed: int

    @property
    def file(self) -> str:
        """The table of their differences."""
        return DIFFERENCE.format(**self._asdict())

    @property
    def inputs(self) -> list[str]:
        """Bits/dim per image of the two."""
        arms = (self.first, self.second)
        return [f"{Who(self.experiment, arm, self.seed).folder}/per_image.npz" for arm in arms]


def runs(config: Config) -> list[Who]:
    return [
        Who(experiment, arm, seed)
        for experiment, e in config.experiments.items()
        for arm in e.arms
        for seed in e.seeds
    ]


def logs(config: Config) -> list[str]:
    """What the manifest tells of the jobs that use a network, beside their logs."""
    names = [f"{LOG.format(**who._asdict())}-train.json" for who in runs(config)]
    for spec in SPECS.values():
        for who, axis in jobs(config, spec):
            names.append(
                "-".join([LOG.format(**who._asdict()), spec.name, *axis.values()]) + ".json"
            )
    return names


def pairs(config: Config) -> list[Pair]:
    return [
        Pair(experiment, first, second, seed)
        for experiment, e in config.experiments.items()
        for first, second in e.compared
        for seed in e.seeds
    ]


def jobs(config: Config, spec: Spec) -> Iterator[tuple[Who, dict[str, str]]]:
    """The runs that a step is measured on, with the value of its axis, once for each."""
    seen = set()
    for who in runs(config):
        settings = getattr(config.experiments[who.experiment], spec.section)
        if settings is None or (spec.first_arm and who.experiment in seen):
            continue
        seen.add(who.experiment)
        for value in spec.axis.values(settings) if spec.axis else [None]:
            yield who, ({spec.axis.name: value} if spec.axis and value is not None else {})


def outputs(spec: Spec, who: Who, axis: dict[str, str]) -> list[str]:
    """The files of one job of a step, in the order of its outputs."""
    return [f"{who.folder}/{output.file.format(**axis)}" for output in spec.outputs]


def step_files(
    config: Config, step: str, option: str = "out", experiment: str | None = None
) -> list[str]:
    """An output of a step for every run that has it, of one experiment or of all."""
    spec = SPECS[step]
    (k,) = (k for k, output in enumerate(spec.outputs) if output.option == option)
    return [
        outputs(spec, who, axis)[k]
        for who, axis in jobs(config, spec)
        if experiment in (None, who.experiment)
    ]


def run_files(config: Config, name: str) -> list[str]:
    """A file that every run has, such as train.csv."""
    return [f"{who.folder}/{name}" for who in runs(config)]


def parts(config: Config) -> dict[str, list[str]]:
    """Each gathered table to the tables of single runs that it is made of."""
    by_schema = {
        "train": run_files(config, "train.csv"),
        "differences": [pair.file for pair in pairs(config)],
    }
    for spec in SPECS.values():
        for output in spec.outputs:
            if output.schema:
                by_schema[output.schema] = step_files(config, spec.name, output.option)
    return {schema: by_schema[schema] for schema in SCHEMAS if by_schema.get(schema)}
