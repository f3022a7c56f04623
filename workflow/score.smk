# `vdiff run --preset score`: a data set scored in chunks, to the bytes of `vdiff score`, whose
# options are the keys (docs/scoring.md).
from snakemake.utils import min_version

min_version("9.0")


include: "rules/commands.smk"


from vdiff.cli.chunks import keys_of
from vdiff.errors import VdiffError

try:
    KEYS = keys_of(read_strictly(config))
    CHUNKS = KEYS.planned() if workflow.is_main_process else 0
    if STORE and any(Path(name).is_absolute() for name in KEYS.models):
        raise VdiffError(
            "Without a shared disk, give model and files by paths in this folder."
        )
except VdiffError as error:
    sys.exit(str(error))

OUT, FOLDER = str(KEYS.values["out"]), KEYS.folder
SCORES = [f"{FOLDER}/scores/{k}.npz" for k in range(1, CHUNKS + 1)]
WORDS, WHERE = shlex.join(KEYS.words), shlex.join([*KEYS.machine, "--wait"])
GPU = 0 if KEYS.values["device"] == "cpu" else 1
MODELS = f"{FOLDER}/models.tar"
# Jobs elsewhere have a folder of their own, where what the models are comes to lie as it does here.
UNPACK = "tar --skip-old-files -xf {input.models:q}; " if STORE else ""


rule all:
    default_target: True
    input:
        OUT,


rule score_cut:
    input:
        lambda wildcards: [local(name) for name in KEYS.data],
    output:
        shared=f"{FOLDER}/shared.npz",
        examples=temp([f"{FOLDER}/examples/{k}.npz" for k in range(1, CHUNKS + 1)]),
    log:
        f"{FOLDER}/logs/cut.log",
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        machine=WHERE,
    params:
        words=lambda wildcards: WORDS,
        size=KEYS.values["chunk_size"],
        folder=subpath(output.shared, parent=True),
        code=code_hash("scoring.chunks"),
    shell:
        "vdiff --log {log:q} chunks cut {params.words} {resources.machine}"
        " --chunk-size {params.size} --into {params.folder:q}"


# What the models are, for machines that share no disk.
rule score_models:
    input:
        lambda wildcards: [local(name) for name in KEYS.models],
    output:
        MODELS,
    log:
        f"{FOLDER}/logs/models.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        files=lambda wildcards: KEYS.models,
    shell:
        f"{PACK} {{output:q}} -- {{params.files:q}} 2>{{log:q}}"


rule score_fit:
    input:
        shared=f"{FOLDER}/shared.npz",
        models=lambda wildcards: MODELS if STORE else KEYS.models,
    output:
        f"{FOLDER}/fit.npz",
    log:
        f"{FOLDER}/logs/fit.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
        gpu=GPU,
        machine=WHERE,
    params:
        words=lambda wildcards: WORDS,
        code=code_hash("scoring.chunks"),
    shell:
        f"{UNPACK}"
        "vdiff --log {log:q} --threads {threads} chunks fit {params.words}"
        " {resources.machine} --shared {input.shared:q} --out {output:q}"


# Killed, or out of time, a job's retry goes on where it was if its disk is still there.
rule score_chunk:
    input:
        examples=f"{FOLDER}/examples/{{k}}.npz",
        fitted=f"{FOLDER}/fit.npz",
        models=MODELS if STORE else [],
    output:
        f"{FOLDER}/scores/{{k}}.npz",
    log:
        f"{FOLDER}/logs/{{k}}.log",
    wildcard_constraints:
        k="[0-9]+",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
        gpu=GPU,
        machine=WHERE,
    params:
        words=lambda wildcards: WORDS,
        code=code_hash("scoring.chunks"),
    shell:
        f"{UNPACK}"
        "vdiff --log {log:q} --threads {threads} chunks score {params.words}"
        " {resources.machine} --examples {input.examples:q} --fitted {input.fitted:q}"
        " --out {output:q}"


rule score_gather:
    input:
        scores=SCORES,
        fitted=f"{FOLDER}/fit.npz",
    output:
        OUT,
    log:
        f"{FOLDER}/logs/gather.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        words=lambda wildcards: WORDS,
        scores=lambda wildcards, input: str(Path(input.scores[0]).parent),
        code=code_hash("scoring.chunks"),
    shell:
        "vdiff --log {log:q} chunks gather {params.words} --scores {params.scores:q}"
        " --fitted {input.fitted:q} --out {output:q}"
