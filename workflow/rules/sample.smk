localrules:
    gather_samples,
    gather_trajectory,
    gather_distances,


rule sample:
    input:
        run=f"{RUN}/run.json",
        snapshots=f"{RUN}/snapshots.csv",
    output:
        images=f"{RUN}/samples.npz",
        table=f"{RUN}/samples.csv",
    log:
        f"{LOG}-sample.log",
    benchmark:
        f"{BENCH}-sample.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        options=options("sampling"),
        code=code_hash("sample"),
        data_root=CONFIG.data_root,
        device=CONFIG.device,
    shell:
        "python -m vdiff --log {log:q} --threads {threads} sample --run {input.run:q}"
        " --snapshots {input.snapshots:q} --out {output.images:q} --table {output.table:q}"
        " {params.options} --data-root {params.data_root:q} --device {params.device}"


rule gather_samples:
    input:
        runs(f"{RUN}/samples.csv", image_experiments()),
    output:
        f"{R}/samples.csv",
    log:
        f"{R}/logs/gather-samples.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate samples {input:q} --out {output:q}"


rule trajectory:
    input:
        run=f"{RUN}/run.json",
        snapshots=f"{RUN}/snapshots.csv",
    output:
        histograms=f"{RUN}/trajectory/lmbd_{{lmbd}}.npz",
        table=f"{RUN}/trajectory/lmbd_{{lmbd}}.csv",
    log:
        f"{LOG}-trajectory-{{lmbd}}.log",
    benchmark:
        f"{BENCH}-trajectory-{{lmbd}}.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        settings=lambda wildcards: CONFIG.experiments[
            wildcards.experiment
        ].trajectory.model_dump_json(exclude={"lmbds"}),
        code=code_hash("sample"),
        data_root=CONFIG.data_root,
        device=CONFIG.device,
    shell:
        "python -m vdiff --log {log:q} --threads {threads} trajectory --run {input.run:q}"
        " --snapshots {input.snapshots:q} --out {output.histograms:q} --table {output.table:q}"
        " --lmbd {wildcards.lmbd} --settings {params.settings:q}"
        " --data-root {params.data_root:q} --device {params.device}"


rule gather_trajectory:
    input:
        [
            first_run(f"{RUN}/trajectory/lmbd_{lmbd}.csv", name)
            for name in experiments("trajectory")
            for lmbd in lmbds(name)
        ],
    output:
        f"{R}/trajectory.csv",
    log:
        f"{R}/logs/gather-trajectory.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate trajectory {input:q} --out {output:q}"


rule distances:
    input:
        run=f"{RUN}/run.json",
        snapshots=f"{RUN}/snapshots.csv",
    output:
        table=f"{RUN}/distances-{{source}}.csv",
    log:
        f"{LOG}-distances-{{source}}.log",
    benchmark:
        f"{BENCH}-distances-{{source}}.tsv"
    conda:
        ENVIRONMENT
    threads: CONFIG.threads
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        settings=lambda wildcards: CONFIG.experiments[
            wildcards.experiment
        ].distances.model_dump_json(),
        code=code_hash("distances"),
        data_root=CONFIG.data_root,
        device=CONFIG.device,
    shell:
        "python -m vdiff --log {log:q} --threads {threads} distances --run {input.run:q}"
        " --snapshots {input.snapshots:q} --out {output.table:q} --source {wildcards.source}"
        " --settings {params.settings:q}"
        " --data-root {params.data_root:q} --device {params.device}"


rule gather_distances:
    input:
        [
            first_run(f"{RUN}/distances-{source}.csv", name)
            for name in experiments("distances")
            for source in ("exact", "learned")
        ],
    output:
        f"{R}/distances.csv",
    log:
        f"{R}/logs/gather-distances.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m vdiff --log {log:q} aggregate distances {input:q} --out {output:q}"
