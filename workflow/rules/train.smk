localrules:
    configure,
    gather_train,


rule configure:
    output:
        run=f"{RUN}/run.json",
    log:
        f"{LOG}-configure.log",
    conda:
        ENVIRONMENT
    params:
        run=run_json,
    shell:
        "python -m vdiff --log {log:q} configure {params.run:q} --out {output.run:q}"


# The training state is no output: Snakemake deletes outputs of failed jobs, and a killed
# training resumes from its state.
rule train:
    input:
        run=f"{RUN}/run.json",
    output:
        train=f"{RUN}/train.csv",
        snapshots=f"{RUN}/snapshots.csv",
    log:
        f"{LOG}-train.log",
    benchmark:
        f"{BENCH}-train.tsv"
    priority: 10
    retries: CONFIG.slices if CONFIG.slice_minutes else None
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=train_memory,
        runtime=train_minutes,
    params:
        out=lambda wildcards, output: Path(output.train).parent,
        state=f"{R}/state/{{experiment}}/debias-{{debias}}/seed-{{seed}}",
        data_root=CONFIG.data_root,
        device=CONFIG.device,
        slice=slice_option,
        code=code_hash("train"),
    shell:
        "python -m vdiff --log {log:q} --threads {threads} train --run {input.run:q} --out {params.out:q}"
        " --state {params.state:q} --data-root {params.data_root:q} --device {params.device}"
        " {params.slice}"


rule gather_train:
    input:
        runs(f"{RUN}/train.csv"),
    output:
        f"{R}/train.csv",
    log:
        f"{R}/logs/gather-train.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate train {input:q} --out {output:q}"
