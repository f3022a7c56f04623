rule configure:
    input:
        mark=mark(f"{layout.RUN}/run.json"),
    output:
        run="<run>/run.json",
    log:
        "<log>-configure.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        run=run_json,
    shell:
        "vdiff --log {log:q} configure {params.run:q} --out {output.run:q}"


# A data set for jobs without a shared disk: what torchvision fetches, or a user's file.
rule data:
    input:
        lambda wildcards: held_file(wildcards.held),
    output:
        "<results>/data/{held}.tar",
    log:
        "<results>/logs/data-{held}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        dataset=lambda wildcards: HELD[wildcards.held],
        data=lambda wildcards: data_held(wildcards.held),
    shell:
        'own="$(mktemp -d)"; trap \'rm -rf "$own"\' EXIT; '
        "vdiff --log {log:q} fetch {params.dataset:q}"
        f" --data-root={shlex.quote(str(CONFIG.data_root))}"
        ' --out="$own" && '
        f'{PACK} {{output:q}} -C "$own" .'


# One part of a training, by the key part_iterations: what a later job goes on from is in the
# store, or wherever outputs are, and a machine that is lost has lost no more than its part.
rule train_part:
    input:
        run="<run>/run.json",
        data=data_in,
        before=before,
    output:
        temp(as_output(f"<results>/{layout.PART}")),
    log:
        "<log>-train-{part}.log",
    priority: 10
    conda:
        ENVIRONMENT
    threads: CONFIG.threads * CONFIG.gpus
    resources:
        mem_mb=train_memory,
        runtime=train_minutes,
        gpu=GPU * CONFIG.gpus,
        trainer=TRAINER,
        machine=" ".join([f"--threads={CONFIG.threads}", "train", WHERE]),
    params:
        until=lambda wildcards: int(wildcards.part) * CONFIG.part_iterations,
        state=f"{R}/{layout.STATE}",
        code=code_hash("training.loop"),
        data=data_of,
    shell:
        UNPACK
        + "{resources.trainer} --log {log:q} {resources.machine} --run {input.run:q}"
        f"{DATA_ROOT}{AFTER} --until {{params.until}} --state {{params.state:q}}"
        + (
            f' --into="$own/into" && {PACK} {{output:q}} -C "$own/into" .'
            if STORE
            else " --into {output:q}"
        )


# The training state is no output: Snakemake deletes outputs of failed jobs, and a killed
# training resumes from its state.
rule train:
    input:
        run="<run>/run.json",
        mark=mark(f"{layout.RUN}/train.csv"),
        data=data_in,
        before=before,
    output:
        train="<run>/train.csv",
        snapshots="<run>/snapshots.csv",
        weights=as_output("<run>/weights"),
        provenance=provenance(["<run>/train.csv", "<run>/snapshots.csv"]),
        ran=ran("<log>-train.log"),
    log:
        "<log>-train.log",
    priority: 10
    retries: CONFIG.slices if CONFIG.slice_minutes else None
    conda:
        ENVIRONMENT
    threads: CONFIG.threads * CONFIG.gpus
    resources:
        mem_mb=train_memory,
        runtime=train_minutes,
        gpu=GPU * CONFIG.gpus,
        trainer=TRAINER,
        machine=" ".join([f"--threads={CONFIG.threads}", "train", WHERE, *SLICE]),
    params:
        out=subpath(output.train, parent=True),
        state=f"{R}/{layout.STATE}",
        code=code_hash("training.loop"),
        data=data_of,
    shell:
        UNPACK
        + "{resources.trainer} --log {log:q} {resources.machine} --run {input.run:q}"
        f"{DATA_ROOT}{AFTER} --out {{params.out:q}} --state {{params.state:q}}"
        + (
            f" && {PACK} {{output.weights:q}} -C {{params.out:q}} weights"
            if STORE
            else ""
        )
