rule configure:
    output:
        run=f"{RUN}/run.json",
    params:
        run=run_json,
    log:
        f"{LOG}-configure.log",
    shell:
        "vdiff --log {log:q} configure {params.run:q} --out {output.run:q}"


# The training state is no output: Snakemake deletes outputs of failed jobs, and a killed
# training resumes from its state.
rule train:
    input:
        run=f"{RUN}/run.json",
    output:
        train=f"{RUN}/train.csv",
        snapshots=f"{RUN}/snapshots.csv",
    params:
        out=lambda wildcards, output: Path(output.train).parent,
        state=f"{R}/state/{{experiment}}/debias-{{debias}}/seed-{{seed}}",
        data_root=CONFIG.data_root,
        device=CONFIG.device,
        code=training_code_hash(),
    log:
        f"{LOG}-train.log",
    benchmark:
        f"{BENCH}-train.tsv"
    threads: CONFIG.threads
    priority: 10
    resources:
        mem_mb=4000,
    shell:
        "vdiff --log {log:q} --threads {threads} train --run {input.run:q} --out {params.out:q}"
        " --state {params.state:q} --data-root {params.data_root:q} --device {params.device}"


rule gather_train:
    input:
        runs(f"{RUN}/train.csv"),
    output:
        f"{R}/train.csv",
    log:
        f"{R}/logs/gather-train.log",
    shell:
        "vdiff --log {log:q} aggregate train {input:q} --out {output:q}"
