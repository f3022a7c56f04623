"""The validated configuration, and what follows from it for the rules."""

import json
import os
import re
import shlex
import sys
from importlib.resources import files as package_files
from pathlib import Path

import vdiff
from vdiff.cli.options import text_of, words_of
from vdiff.config import load_config, merge, read_yaml, run_of
from vdiff.config.specs import SPECS
from vdiff.errors import VdiffError
from vdiff.figures.registry import FIGURES
from vdiff.files.codehash import code_hash
from vdiff.files.fingerprint import fingerprint
from vdiff.files import layout
from vdiff.report import asked, contents

try:
    # Read strictly: Snakemake's own reading takes `on` for true and keeps the last of two keys. Of a
    # module the configuration is what the workflow around it gives.
    if workflow.modifier.parent_modifier is None:
        for file in workflow.config_settings.configfiles:
            config = merge(config, read_yaml(file))
        config = merge(config, dict(workflow.config_settings.config))
    CONFIG = load_config(config)
    DATA = {
        name: fingerprint(e.dataset, Path(CONFIG.data_root))
        for name, e in CONFIG.experiments.items()
    }
except VdiffError as error:
    sys.exit(str(error))

ROOT = Path(str(workflow.current_basedir)).parents[1]
R = str(CONFIG.folder)
CAPTIONS = package_files("vdiff.report") / "captions"
ENVIRONMENT = str(ROOT / "environment.yml")  # for --sdm conda
GPU = 0 if CONFIG.device == "cpu" else 1
MARKS = f".snakemake/asked/{R.lstrip('/')}"
DESCRIBED = (
    f"{MARKS}/described.json"  # for commands: a sweep's would not fit on their line
)
PARTS = layout.parts(CONFIG)  # gathered tables to what they are made of


report: "../report/workflow.rst"


pathvars:
    results=R,
    run=f"<results>/{layout.RUN}",
    log=f"<results>/{layout.LOG}",
    difference=layout.DIFFERENCE,
    marks=MARKS,
    mark=f"{MARKS}/{layout.RUN}",


wildcard_constraints:
    experiment="[A-Za-z0-9_]+",
    arm="[A-Za-z0-9_.=-]+",
    first="[A-Za-z0-9_.=-]+",
    second="[A-Za-z0-9_.=-]+",
    seed="[0-9]+",
    lmbd="-?[0-9.]+(e[-+]?[0-9]+)?",
    source="exact|learned",
    table="|".join(PARTS),


# Lines, not redrawn bars: parallel jobs share the terminal. The code is that whose hashes the rules
# have, whatever lies in the working folder or on PYTHONPATH. Jobs of a user without a home, as in
# containers, keep caches in the temporary folder.
CODE = shlex.quote(str(Path(vdiff.__file__).with_name("__main__.py"))).replace(
    "{", "{{"
)
# Jobs of this process are forks of one that has imported torch already, where there are such forks.
PYTHON = "python -P"
if workflow.is_main_process and sys.platform == "linux":
    FORKED = shlex.quote(str(Path(vdiff.__file__).parent / "machine" / "forked.py"))
    SOCKETS = shlex.quote(str(Path(".snakemake/forkserver").absolute()))
    PYTHON = f"python -I -S {FORKED} {SOCKETS} {os.getpid()}".replace("{", "{{")
shell.prefix(
    "export VDIFF_PROGRESS=${{VDIFF_PROGRESS:-lines}} PYTHONSAFEPATH=1; "
    '[ -w "${{HOME:-/nonexistent}}" ] || export HOME="${{TMPDIR:-/tmp}}"; '
    f'vdiff() {{{{ {PYTHON} {CODE} "$@"; }}}}; '
)
# Where and on what to compute. No result depends on it, so rules have it as a resource, whose
# changes rerun nothing.
MACHINE = shlex.join(
    [f"--data-root={CONFIG.data_root}", f"--device={CONFIG.device}", "--wait"]
)
# One process for each GPU of a training, on one node.
TRAINER = "vdiff"
if CONFIG.gpus > 1:
    TRAINER = (
        "python -m torch.distributed.run --standalone"
        f" --nproc-per-node={CONFIG.gpus} -- {CODE}"
    )
SLICE = [f"--slice-minutes={CONFIG.slice_minutes}"] if CONFIG.slice_minutes else []


def inside(paths):
    """Paths of the results folder as Snakemake sees them."""
    return [f"{R}/{path}" for path in paths]


def compared(wildcards):
    """Bits/dim per image of the two runs of a table of differences."""
    return dict(zip(["first", "second"], inside(layout.Pair(**wildcards).inputs)))


def data_of(wildcards):
    """The fingerprint of a run's data: replaced data are trained on and evaluated anew."""
    return json.dumps(DATA[wildcards.experiment].images)


def run_json(wildcards):
    run = run_of(CONFIG, wildcards.experiment, wildcards.arm, int(wildcards.seed))
    return json.dumps(run.model_dump(), sort_keys=True)


def options_of(step):
    """A function of wildcards: the step's section as options, and the value of its axis."""

    def words(wildcards):
        section = getattr(CONFIG.experiments[wildcards.experiment], step.section)
        axis = step.axis and [f"--{step.axis.name}={wildcards[step.axis.name]}"]
        return shlex.join([*words_of(section), *(axis or [])])

    return words


def outputs_of(step):
    """A function of wildcards and output: the options that name a step's files."""

    def words(wildcards, output):
        names = [f"--{o.option.replace('_', '-')}" for o in step.outputs]
        return shlex.join([w for pair in zip(names, output) for w in pair])

    return words


def rule_name(figure):
    return f"figure_{figure.name.replace('-', '_')}"


def pattern(figure):
    """A figure's file name, with its experiment as a wildcard where it has one."""
    return figure.stem(None if figure.names(CONFIG) == [None] else "{experiment}")


def name_of(wildcards):
    """The experiment of a figure, None for a figure of all."""
    return wildcards.get("experiment")


def figure_inputs(figure):
    """A function of wildcards: the tables and arrays that a figure reads."""
    return lambda wildcards: inside(figure.inputs(CONFIG, name_of(wildcards)))


def figure_words(figure):
    """A function of wildcards and output: the command that draws a figure, and its options."""

    def words(wildcards, output):
        options = figure.options(CONFIG, name_of(wildcards))
        files = [
            f"--{'dark' if f.endswith('-dark.png') else 'out'}={f}" for f in output
        ]
        command = ["animate"] if figure.moving else ["plot", figure.name]
        return shlex.join(
            [*command, *files, *(f"--{k}={text_of(v)}" for k, v in options.items())]
        )

    return words


def rules_by_log(wildcards):
    """The log pattern of every rule, relative to the results, to the rule's name."""
    patterns = {
        re.sub(r"{[^}]*}", "*", str(path)).removeprefix(f"{R}/"): r.name
        for r in workflow.rules
        for path in r.log
    }
    return json.dumps(patterns)


def train_minutes(wildcards):
    """What a scheduler is asked for: a slice and time to save it, or a day."""
    return int(CONFIG.slice_minutes + 10) if CONFIG.slice_minutes else 1440


def train_memory(wildcards, attempt):
    """Enough for the paper's nets on a GPU; on a CPU their batch wants more, which a retry gets."""
    return 6000 * min(attempt, 2)


# What lies in the results folder is used again only if its records say that it is what is asked
# for, whatever Snakemake knows of it. The main process decides, once, and leaves a mark for each job.
if workflow.is_main_process:
    asked.write_described(CONFIG, Path(DESCRIBED))
    for name, why in asked.settle(
        asked.unfit(CONFIG, DATA, CONFIG.folder), Path(MARKS)
    ).items():
        print(f"{R}/{name} does not fit: {why}.", file=sys.stderr)
        break  # the first stands for those that follow from it
