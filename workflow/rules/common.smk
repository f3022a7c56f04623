"""The validated configuration, and what follows from it for the rules."""

import asyncio
import hashlib
import json
import os
import re
import shlex
import sys
from importlib.resources import files as package_files
from pathlib import Path

from snakemake.exceptions import WorkflowError

from vdiff.cli.options import text_of, words_of
from vdiff.config import load_config, run_of
from vdiff.config.specs import SPECS
from vdiff.errors import VdiffError
from vdiff.figures.registry import FIGURES
from vdiff.files.codehash import code_hash
from vdiff.files.fingerprint import OFFICIAL, fingerprint
from vdiff.files import layout
from vdiff.files.provenance import provenance_of
from vdiff.report import asked, contents

try:
    CONFIG = load_config(read_strictly(config))
    DATA = {
        name: fingerprint(e.dataset, Path(CONFIG.data_root))
        for name, e in CONFIG.experiments.items()
        if not AWAY
    }
except VdiffError as error:
    sys.exit(str(error))

R = str(CONFIG.folder)
CAPTIONS = package_files("vdiff.report") / "captions"
GPU = 0 if CONFIG.device == "cpu" else 1
MARKED = ".made/asked"
MARK = f"{R}/{MARKED}"
# For commands: a sweep's configuration would not fit on their line.
DESCRIBED = f".snakemake/asked/{R.lstrip('/')}/described.json"
PARTS = layout.parts(CONFIG)  # gathered tables to what they are made of


report: "../report/workflow.rst"


pathvars:
    results=R,
    run=f"<results>/{layout.RUN}",
    log=f"<results>/{layout.LOG}",
    difference=layout.DIFFERENCE,


wildcard_constraints:
    experiment="[A-Za-z0-9_]+",
    arm="[A-Za-z0-9_.=-]+",
    first="[A-Za-z0-9_.=-]+",
    second="[A-Za-z0-9_.=-]+",
    seed="[0-9]+",
    lmbd="-?[0-9.]+(e[-+]?[0-9]+)?",
    source="exact|learned",
    table="|".join(PARTS),
    part="[0-9]+",
    held="[A-Za-z0-9_.-]+",


# Where and on what to compute. No result depends on it, so rules have it as a resource, whose
# changes rerun nothing.
WHERE = shlex.join(
    [f"--data-root={CONFIG.data_root}", f"--device={CONFIG.device}", "--wait"]
)
# One process for each GPU of a training, on one node.
TRAINER = "vdiff"
if CONFIG.gpus > 1:
    TRAINER = (
        "python -m torch.distributed.run --standalone"
        f" --nproc-per-node={CONFIG.gpus} -- {CODE}"
    )
# A folder is one archive in a store, whose plugins do not all know folders. Jobs unpack theirs:
# weights beside their table, data and the state before into a folder of their own.
SUFFIX, UNPACK, DATA_ROOT, AFTER = "", "", "", " --after={input.before:q}"
if STORE:
    SUFFIX = ".tar"
    UNPACK = (
        'own="$(mktemp -d)"; trap \'rm -rf "$own"\' EXIT; '
        'for tar in {input.data:q} {input.before:q}; do tar -xf "$tar" -C "$own"; done; '
    )
    DATA_ROOT, AFTER = ' --data-root="$own"', ' --after="$own"'


def as_output(path):
    """A folder that a job makes."""
    return path + SUFFIX if STORE else directory(path)


SLICE = [f"--slice-minutes={CONFIG.slice_minutes}"] if CONFIG.slice_minutes else []


if CONFIG.container:

    container: CONFIG.container


def inside(paths):
    """Paths of the results folder as Snakemake sees them."""
    return [f"{R}/{path}" for path in paths]


def provenance(paths):
    """The provenance of files that have one: what they were made from."""
    names = (
        provenance_of(Path(path)) for path in paths if not path.endswith("config.json")
    )
    return list(dict.fromkeys(map(str, names)))


def provenance_in(paths):
    """The same as inputs: ancient, for whether they fit is in UNFIT and no time stamp tells it. A
    job runs again when one that it follows does, by the files beside them."""
    return ancient(provenance(paths))


def mark(pattern):
    """The mark as input of the job that makes a file: new if what is there does not fit, or nothing
    is. Of a job with an ancient input that is made anew Snakemake does not see what is missing.
    """

    def of(wildcards):
        name = pattern.format(**wildcards)
        return MARK if name in UNFIT or not is_there(name) else ancient(MARK)

    return of


def is_there(name):
    """Whether a result is in the folder; in a store its provenance tells."""
    path = FOLDER / name
    return path.exists() or (bool(STORE) and provenance_of(path).exists())


def ran(log):
    """What the manifest tells of a job that ran elsewhere, with its log's pattern."""
    return [log.replace(".log", ".json")] if STORE else []


def step_log(step):
    """The pattern of a step's log, without its ending."""
    return f"<log>-{step.name}{f'-{{{step.axis.name}}}' if step.axis else ''}"


def parts_of(wildcards):
    """The number of jobs of a training, by the key part_iterations."""
    run = run_of(CONFIG, wildcards.experiment, wildcards.arm, int(wildcards.seed))
    iterations = run.training.iterations
    return -(-iterations // (CONFIG.part_iterations or iterations))


def before(wildcards):
    """The part of a training that a job of it goes on from."""
    part = int(wildcards.get("part", parts_of(wildcards))) - 1
    return (
        f"{R}/{layout.PART}".format(**{**wildcards, "part": part}) + SUFFIX
        if part
        else []
    )


def held_file(name):
    """A user's file that goes to the store."""
    path = HELD[name].removeprefix("npz:")
    return [] if path == HELD[name] else local(path)


def data_held(name):
    """The fingerprint of a set that goes to the store."""
    which = [n for n, e in CONFIG.experiments.items() if e.dataset == HELD[name]]
    return "" if AWAY else json.dumps(DATA[which[0]].images)


def compared(wildcards):
    """Bits/dim per image of the two runs of a table of differences."""
    return dict(zip(["first", "second"], inside(layout.Pair(**wildcards).inputs)))


def compared_provenance(wildcards):
    return provenance_in(compared(wildcards).values())


def name_of_data(dataset):
    """Of a data set in the store."""
    digest = hashlib.sha256(dataset.encode()).hexdigest()[:8]
    return f"{Path(dataset.removeprefix('npz:')).stem}-{digest}"


# The sets that are no part of a package, by their names in the store.
HELD = {
    name_of_data(e.dataset): e.dataset
    for e in CONFIG.experiments.values()
    if e.dataset in OFFICIAL or e.dataset.startswith("npz:")
}


def data_in(wildcards):
    """The data of a run as an input, where there is no shared disk."""
    name = name_of_data(CONFIG.experiments[wildcards.experiment].dataset)
    return f"{R}/data/{name}.tar" if STORE and name in HELD else []


def data_of(wildcards):
    """The fingerprint of a run's data: replaced data are trained on and evaluated anew."""
    return "" if AWAY else json.dumps(DATA[wildcards.experiment].images)


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


def stored(path):
    """A path of the results folder as the object that the store has."""
    prefix = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")
    return STORE.object(f"{prefix}/{os.path.normpath(path)}".lstrip("/"))


def fetch(names):
    """Bring files of the results folder from the store, those that are there."""

    async def one(path):
        if await path.managed_exists():
            await path.managed_retrieve()

    async def all_of_them():
        await asyncio.gather(*(one(stored(f"{R}/{name}")) for name in names))

    try:
        workflow.async_run(all_of_them())
    except WorkflowError as error:
        prefix = workflow.storage_settings.default_storage_prefix
        sys.exit(
            f"The store {prefix} cannot be used: {str(error).splitlines()[-1]}; check"
            " --default-storage-prefix, the endpoint and the credentials."
        )


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


def figure_provenance(figure):
    return lambda wildcards: provenance_in(figure_inputs(figure)(wildcards))


def figure_words(figure):
    """A function of wildcards and output: the command that draws a figure, and its options."""

    def words(wildcards, output):
        options = figure.options(CONFIG, name_of(wildcards))
        drawn = output[: len(figure.endings)]
        files = [f"--{'dark' if f.endswith('-dark.png') else 'out'}={f}" for f in drawn]
        command = ["animate"] if figure.moving else ["plot", figure.name]
        return shlex.join(
            [*command, *files, *(f"--{k}={text_of(v)}" for k, v in options.items())]
        )

    return words


def rules_by_log(wildcards):
    """The log pattern of every rule, relative to the results, to the rule's name."""
    patterns = {
        re.sub(r"{[^}]*}", "*", str(path)).split(f"{R}/")[-1]: r.name
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


# What lies in the results folder is used again only if its provenance says that it is what is
# asked for, whatever Snakemake knows of it. The main process decides, once; see mark().
UNFIT, SAYS, FOLDER = {}, "", CONFIG.folder
if workflow.is_main_process:
    asked.write_described(CONFIG, Path(DESCRIBED))
    if STORE:
        fetch([*asked.needed(CONFIG), MARKED])
        FOLDER = Path(stored(R).local_path())
    UNFIT = asked.unfit(CONFIG, DATA, FOLDER)
    SAYS = asked.sentence(UNFIT, FOLDER / MARKED)
    if UNFIT:
        Path(DESCRIBED).touch()
    for name, why in UNFIT.items():
        print(f"{R}/{name} does not fit: {why}.", file=sys.stderr)
        break  # the first stands for those that follow from it
