"""The validated configuration, and the paths and command-line options that follow from it."""

import json
from pathlib import Path

from snakemake.exceptions import WorkflowError

from vdiff.config import load_config, run_of
from vdiff.errors import VdiffError
from vdiff.provenance import training_code_hash

try:
    CONFIG = load_config(config)
except VdiffError as error:
    raise WorkflowError(str(error))

R = str(CONFIG.folder)
RUN = f"{R}/runs/{{experiment}}/debias-{{debias}}/seed-{{seed}}"
LOG = f"{R}/logs/{{experiment}}-debias-{{debias}}-seed-{{seed}}"
BENCH = f"{R}/benchmarks/{{experiment}}-debias-{{debias}}-seed-{{seed}}"
VDIFF = Path(workflow.basedir) / "vdiff"


wildcard_constraints:
    experiment="[A-Za-z0-9_]+",
    debias="True|False",
    seed="[0-9]+",
    lmbd="-?[0-9.]+(e-?[0-9]+)?",


# Lines, not redrawn bars: parallel jobs share the terminal.
shell.prefix("export VDIFF_PROGRESS=${{VDIFF_PROGRESS:-lines}}; ")


def experiments(section=None):
    """Names of the experiments, of all or of those with a section such as sampling."""
    return [n for n, e in CONFIG.experiments.items() if section is None or getattr(e, section)]


def runs(pattern, names=None, seeds=None):
    """The pattern filled in for every run of the experiments."""
    paths = []
    for name in experiments() if names is None else names:
        e = CONFIG.experiments[name]
        for debias in e.debias:
            for seed in seeds or e.seeds:
                paths.append(pattern.format(experiment=name, debias=debias, seed=seed))
    return paths


def first_run(pattern, name):
    """Trajectories are shown for one run: the first setting of debias and the first seed."""
    e = CONFIG.experiments[name]
    return pattern.format(experiment=name, debias=e.debias[0], seed=e.seeds[0])


def run_json(wildcards):
    run = run_of(CONFIG, wildcards.experiment, wildcards.debias == "True", int(wildcards.seed))
    return json.dumps(run.model_dump(), sort_keys=True)


def options(section, **extra):
    """A function of wildcards: a section of the configuration as command-line options."""

    def of(wildcards):
        settings = getattr(CONFIG.experiments[wildcards.experiment], section)
        words = []
        for key, value in {**settings.model_dump(), **extra}.items():
            name = "--" + key.removesuffix("s").replace("_", "-") if isinstance(value, list) else (
                "--" + key.replace("_", "-")
            )
            for item in value if isinstance(value, list) else [value]:
                if item is not None:
                    words += [name, str(item)]
        return " ".join(words)

    return of


def lmbds(name):
    return [f"{v:g}" for v in CONFIG.experiments[name].trajectory.lmbds]


def image_experiments():
    return experiments("sampling")


def figures():
    names = []
    for name in experiments():
        names += [f"bpd-{name}", f"standard-error-{name}"]
    names += [f"samples-{name}" for name in image_experiments()]
    for name in experiments("trajectory"):
        names += [f"lambda-grid-{name}", f"lambda-strips-{name}"]
    names.append("loss")
    return [f"{R}/figures/{name}.{kind}" for name in names for kind in ("png", "pdf")]


def tables():
    names = ["train", "evaluation", "curves"]
    names += ["samples"] if image_experiments() else []
    names += ["trajectory"] if experiments("trajectory") else []
    return [f"{R}/{name}.csv" for name in names]
