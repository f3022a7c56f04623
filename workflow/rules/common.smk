"""The validated configuration, and the paths and command-line options that follow from it."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

from vdiff.config import load_config, run_of
from vdiff.errors import VdiffError
from vdiff.provenance import code_hash

try:
    CONFIG = load_config(config)
except VdiffError as error:
    sys.exit(str(error))

ROOT = Path(str(workflow.current_basedir)).parents[1]
R = str(CONFIG.folder)
RUN = f"{R}/runs/{{experiment}}/debias-{{debias}}/seed-{{seed}}"
LOG = f"{R}/logs/{{experiment}}-debias-{{debias}}-seed-{{seed}}"
BENCH = f"{R}/benchmarks/{{experiment}}-debias-{{debias}}-seed-{{seed}}"
PUBLISHED = ROOT / "workflow" / "resources" / "cifar10_bpd_published.csv"
VDIFF = ROOT / "vdiff"
GALLERY = [
    *(
        f"{name}{theme}.png"
        for name in (
            "bpd-digits",
            "bpd-photos",
            "differences",
            "samples-digits",
            "samples-photos",
            "lambda-grid-swissroll",
            "lambda-strips-swissroll",
            "distances-swissroll",
            "standard-error-digits",
            "variance-swissroll",
            "likelihood",
            "loss",
        )
        for theme in ("", "-dark")
    ),
    "lambda-swissroll.webp",
    "sampling-digits.webp",
]
ENVIRONMENT = str(ROOT / "environment.yml")  # for --sdm conda


wildcard_constraints:
    experiment="[A-Za-z0-9_]+",
    debias="True|False",
    seed="[0-9]+",
    lmbd="-?[0-9.]+(e-?[0-9]+)?",
    source="exact|learned",


# Lines, not redrawn bars: parallel jobs share the terminal. The code is that of this workflow.
PYTHONPATH = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
shell.prefix(
    f"export VDIFF_PROGRESS=${{{{VDIFF_PROGRESS:-lines}}}} PYTHONPATH={shlex.quote(PYTHONPATH)}; "
)


def experiments(section=None):
    """Names of the experiments, of all or of those with a section such as sampling."""
    return [
        n
        for n, e in CONFIG.experiments.items()
        if section is None or getattr(e, section)
    ]


def runs(pattern, names=None, seeds=None):
    """The pattern filled in for every run of the experiments."""
    paths = []
    for name in experiments() if names is None else names:
        e = CONFIG.experiments[name]
        for debias in e.debias:
            for seed in seeds or e.seeds:
                paths.append(pattern.format(experiment=name, debias=debias, seed=seed))
    return paths


def first_run(pattern, name, last=False):
    """What is shown for one run only: the first (or last) setting of debias, the first seed."""
    e = CONFIG.experiments[name]
    debias = e.debias[-1 if last else 0]
    return pattern.format(experiment=name, debias=debias, seed=e.seeds[0])


def differences():
    """Tables of debias True less False, where an experiment has both."""
    return [
        f"{R}/runs/{name}/differences-seed-{seed}.csv"
        for name, e in CONFIG.experiments.items()
        if len(e.debias) == 2
        for seed in e.seeds
    ]


def run_json(wildcards):
    run = run_of(
        CONFIG, wildcards.experiment, wildcards.debias == "True", int(wildcards.seed)
    )
    return json.dumps(run.model_dump(), sort_keys=True)


def options(section):
    """A function of wildcards: a section of the configuration as command-line options.

    A list, such as estimators, becomes its option in the singular, repeated.
    """

    def of(wildcards):
        settings = getattr(
            CONFIG.experiments[wildcards.experiment], section
        ).model_dump()
        words = []
        for key, value in settings.items():
            several = isinstance(value, list)
            name = key.removesuffix("s") if several else key
            for item in value if several else [value]:
                if item is not None:
                    words += [f"--{name.replace('_', '-')}", str(item)]
        return " ".join(words)

    return of


def drawn_by(*names):
    """The modules behind a figure; those that read and style figures are behind all."""
    return [
        VDIFF / "figures" / "style.py",
        VDIFF / "tidy.py",
        *(VDIFF / "figures" / f"{name}.py" for name in names),
    ]


def outputs(wildcards, output):
    """The outputs of a figure rule as options."""
    return [
        f"--{'dark' if path.endswith('-dark.png') else 'out'} {path}" for path in output
    ]


def trajectory_files(wildcards):
    base = first_run(f"{RUN}/trajectory", wildcards.experiment)
    return [f"{base}/lmbd_{lmbd}.npz" for lmbd in lmbds(wildcards.experiment)]


def grid_rows(wildcards):
    """The published grid has every lambda but 1."""
    return ",".join(lmbd for lmbd in lmbds(wildcards.experiment) if lmbd != "1")


def steps_of(key):
    return lambda wildcards: ",".join(
        str(i)
        for i in getattr(CONFIG.experiments[wildcards.experiment].trajectory, key)
    )


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
    names += [f"distances-{name}" for name in experiments("distances")]
    names += [f"variance-{name}" for name in experiments("variance")]
    names += [
        "loss",
        "published",
        *(["likelihood"] if experiments("likelihood") else []),
    ]
    names += ["differences"] if differences() else []
    moving = [
        f"sampling-{name}" for name in image_experiments() if frames(name, "sampling")
    ]
    moving += [
        f"lambda-{name}"
        for name in experiments("trajectory")
        if frames(name, "trajectory")
    ]
    return [
        *(f"{R}/figures/{name}.{kind}" for name in names for kind in ("png", "pdf")),
        *(f"{R}/figures/{name}.{kind}" for name in moving for kind in ("gif", "webp")),
    ]


def frames(name, section):
    return getattr(CONFIG.experiments[name], section).frames


def published_overlay(wildcards):
    """The published curves belong beside the paper's own CIFAR-10 experiment."""
    cifar = CONFIG.experiments[wildcards.experiment].dataset == "cifar10"
    return f"--published {shlex.quote(str(PUBLISHED))}" if cifar else ""


def claim_samples():
    return runs(f"{RUN}/samples.npz", image_experiments())


def captions():
    return sorted((ROOT / "workflow" / "report").glob("*.rst"))


def notebooks():
    return [f"{R}/swissroll.ipynb"] if CONFIG.notebook else []


def tables():
    names = ["train", "evaluation", "curves"]
    names += ["samples"] if image_experiments() else []
    names += [n for n in ("trajectory", "distances", "likelihood") if experiments(n)]
    names += ["differences"] if differences() else []
    names += ["variance_time", "gradient"] if experiments("variance") else []
    return [f"{R}/{name}.csv" for name in names]


def train_minutes(wildcards):
    """What a scheduler is asked for: a slice and time to save it, or a day."""
    return int(CONFIG.slice_minutes + 10) if CONFIG.slice_minutes else 1440


def slice_option(wildcards):
    return f"--slice-minutes {CONFIG.slice_minutes:g}" if CONFIG.slice_minutes else ""


def rules_by_log(wildcards):
    """The log pattern of every rule, its wildcards as *, to the rule's name."""
    patterns = {
        re.sub(r"{[^}]*}", "*", str(path)): r.name
        for r in workflow.rules
        for path in r.log
    }
    return json.dumps(patterns)


def train_memory(wildcards, attempt):
    """Enough for the paper's nets on a GPU; on a CPU their batch wants more, which a retry gets."""
    return 6000 * min(attempt, 2)
