rule configure:
    input:
        mark="<mark>/run.json",
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


# The training state is no output: Snakemake deletes outputs of failed jobs, and a killed
# training resumes from its state.
rule train:
    input:
        run="<run>/run.json",
        mark="<mark>/train.csv",
    output:
        train="<run>/train.csv",
        snapshots="<run>/snapshots.csv",
        weights=directory("<run>/weights"),
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
        machine=" ".join([f"--threads={CONFIG.threads}", "train", MACHINE, *SLICE]),
    params:
        out=subpath(output.train, parent=True),
        state=f"{R}/{layout.STATE}",
        code=code_hash("training.loop"),
        data=data_of,
    shell:
        "{resources.trainer} --log {log:q} {resources.machine} --run {input.run:q}"
        " --out {params.out:q} --state {params.state:q}"
